"""Pictures of turtles that do not exist: a small survey with known truth, to try the program on without any photos."""

from resight.demo.plan import PhotoTruth
from resight.demo.survey import SurveyTruth, render_survey

__all__ = ["PhotoTruth", "SurveyTruth", "render_survey"]
