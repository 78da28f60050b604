"""Settings of the report."""

from pydantic import Field

from resight.plugins.params import Params


class ReportParams(Params):
    """What the page shows."""

    candidates: int = Field(3, ge=0, description="candidates drawn per query encounter")
    thumbnail_px: int = Field(360, ge=64, le=2048, description="long side of the pictures in the page")
    max_encounters: int = Field(200, ge=1, description="query encounters on one page; the tables hold all")
