"""Stage ``background``: the control with the animals painted over."""

from resight.pairs.cohort import Cohort
from resight.run.background import Control, background_control
from resight.run.run import Run
from resight.run.state import Segmented
from resight.tasks.stage import stage


@stage("background")
def control_background(run: Run, segmented: Segmented, cohort: Cohort) -> Control:
    """Extract, match and judge the painted photos; `measure` writes their outcomes."""
    control = background_control(run.conditions, segmented, cohort, run.note)
    run.counts["background"] = {"in": control.n_photos, "out": dict(control.statuses)}
    if control.outcomes is None:
        run.note("There is no background control: no outline says where the animals are in queries and gallery.")
    else:
        run.work["background_pairs_matched"] = control.n_matched
    return control
