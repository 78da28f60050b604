"""Stage ``novelty``: is the best candidate the animal, or has nobody seen this one before?"""

from resight.novelty.calibration import Calibration, calibrate, impostor_maxima
from resight.novelty.decide import Verdicts, decide, listed
from resight.novelty.model import NoveltyModel, fit

__all__ = ["Calibration", "NoveltyModel", "Verdicts", "calibrate", "decide", "fit", "impostor_maxima", "listed"]
