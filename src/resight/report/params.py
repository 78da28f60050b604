"""Settings of the report."""

from typing import ClassVar

from pydantic import Field

from resight.plugins.params import Affects, Params


class ReportParams(Params):
    """What the page shows."""

    affects: ClassVar[Affects] = "execution"

    candidates: int = Field(3, ge=0, description="candidates shown with pictures for each query encounter")
    max_encounters: int = Field(200, ge=1, description="query encounters on one page; the tables have all of them")
    earlier_encounters: int = Field(
        5, ge=0, description="of these, how many of earlier nights are shown where the night has some of its own"
    )
