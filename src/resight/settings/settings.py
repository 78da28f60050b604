"""One typed object for all settings, a section per stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from resight.bucket.params import PublishParams
from resight.embed.params import EmbedParams
from resight.evaluate.params import EvaluateParams
from resight.extract.kinds.sift import SiftParams
from resight.ingest.params import EncounterParams, GateParams, IngestParams, RetentionParams
from resight.match.kinds.nearest import NearestParams
from resight.notify.params import NotifyParams
from resight.novelty.params import NoveltyParams
from resight.pairs.params import PairsParams
from resight.plugins.params import Affects, Params
from resight.rank.params import RankParams
from resight.report.params import ReportParams
from resight.runner.params import DaskParams
from resight.score.params import ScoreParams
from resight.segment.kinds.auto import AutoParams
from resight.segment.params import CropParams
from resight.settings.kinds import ExtractorParams, MatcherParams, SegmenterParams
from resight.shortlist.params import ShortlistParams
from resight.weights.store import WeightStore

DEFAULT_KIND = {"segment": "auto", "extract": "sift", "match": "nearest"}


class Settings(Params):
    """Everything that can be set. ``resight init`` writes it out with comments."""

    affects: ClassVar[Affects] = "execution"

    ingest: IngestParams = IngestParams()
    encounter: EncounterParams = EncounterParams()
    gate: GateParams = GateParams()
    retention: RetentionParams = RetentionParams()
    segment: SegmenterParams = AutoParams()
    crop: CropParams = CropParams()
    extract: ExtractorParams = SiftParams()
    embed: EmbedParams = EmbedParams()
    match: MatcherParams = NearestParams()
    pairs: PairsParams = PairsParams()
    shortlist: ShortlistParams = ShortlistParams()
    score: ScoreParams = ScoreParams()
    rank: RankParams = RankParams()
    novelty: NoveltyParams = NoveltyParams()
    evaluate: EvaluateParams = EvaluateParams()
    dask: DaskParams = DaskParams()
    report: ReportParams = ReportParams()
    notify: NotifyParams = NotifyParams()
    publish: PublishParams = PublishParams()
    site: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$",
        description="name of the site, for schedules and messages: small letters, digits and -, e.g. zakynthos-west",
    )
    links: str = Field(
        "",
        description="address under which people can open this folder, e.g. https://server/zakynthos; for links in messages and on Prefect's page",
    )
    metrics: str = Field(
        "",
        description="file that is written after each command for Prometheus' node exporter, e.g. /var/lib/node_exporter/zakynthos.prom",
    )
    wait_minutes: float = Field(
        0.0,
        ge=0,
        description="how long a run waits while another one is at work in the workspace; 0: it ends at once and says so",
    )
    device: Literal["cpu", "cuda", "mps"] = Field(
        "cpu",
        description="where networks run: cpu, cuda (NVIDIA) or mps (Apple); Resight never changes it by itself",
        json_schema_extra={"affects": "run"},
    )
    weights_dir: str = Field(
        "",
        description="folder that is searched for weights first, before the one in RESIGHT_WEIGHTS; relative to the workspace",
    )
    allow_download: bool = Field(
        True, description="whether missing weights may be downloaded from their official address"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_kinds(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {
            k: {"kind": DEFAULT_KIND[k], **v} if k in DEFAULT_KIND and isinstance(v, dict) else v
            for k, v in data.items()
        }

    @model_validator(mode="after")
    def _matcher_reads_extractor(self) -> Settings:
        if not self.match.accepts(self.extract.family):
            raise ValueError(
                f"match.kind = '{self.match.kind}' with weights '{getattr(self.match, 'weights', '')}' does not read "
                f"{self.extract.family} descriptors (extract.kind = '{self.extract.kind}'); choose a matcher that does"
            )
        if not self.shortlist.accepts(self.extract):
            raise ValueError(
                f"shortlist.descriptors = 'own' cannot use the binary descriptors of extract.kind = '{self.extract.kind}'; "
                "set shortlist.descriptors = 'sift'"
            )
        return self

    def weight_store(self, home: Path | None = None, known: Sequence[tuple[str, str]] = ()) -> WeightStore:
        """The weights files that the settings of the workspace ``home`` point to; ``known`` as there."""
        return WeightStore(self.weights_dir, self.allow_download, str(home or ""), tuple(known))

    def model_part(self) -> dict[str, Any]:
        """The settings that make up the model, by section: whatever has to be accepted before a night uses it."""
        return self.part("model")

    def run_part(self, measuring: bool) -> dict[str, Any]:
        """What stands for the settings in a run's name, beside its model; how accuracy is measured counts only where it is."""
        part = self.standing_for_part("run")
        return part if measuring else {name: values for name, values in part.items() if name != "evaluate"}

    def part(self, *what: Affects) -> dict[str, Any]:
        """The settings with one of these effects, by section."""
        own, groups = self.fields_affecting(*what), self.groups()
        chosen = {name: value.fields_affecting(*what) for name, value in groups.items()}
        included: dict[str, Any] = {name: fields for name, fields in chosen.items() if fields}
        return self.model_dump(mode="json", include=included | dict.fromkeys(own - groups.keys(), True))

    def standing_for_part(self, *what: Affects) -> dict[str, Any]:
        """What stands for `part` in names: only what differs from the defaults."""
        standing = self.differing(self.fields_affecting(*what) - self.groups().keys())
        for name, group in self.groups().items():
            fields = group.fields_affecting(*what)
            inner = group.standing_for(type(self).model_fields[name].default, fields) if fields else []
            standing |= {name: inner} if inner else {}
        return standing

    def groups(self) -> dict[str, Params]:
        """The sections by name."""
        return {name: value for name, value in self if isinstance(value, Params)}

    @classmethod
    def sections_affecting(cls, *what: Affects) -> set[str]:
        """Names of the sections with a setting that has one of these effects."""
        return {name for name, group in cls().groups().items() if group.fields_affecting(*what)}
