"""One typed object for all settings, in layers: arguments, then environment, then ``resight.toml``, then defaults.

``RESIGHT_EXTRACT__MAX_KEYPOINTS=512`` sets ``extract.max_keypoints``. Unknown keys stop the run and name the nearest
known one. Choosing another ``kind`` in a higher layer drops the lower layers' options of the old kind.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from resight.errors import SettingsError
from resight.evaluate.params import EvaluateParams
from resight.extract.kinds.sift import SiftParams
from resight.ingest.params import EncounterParams, IngestParams
from resight.match.kinds.nearest import NearestParams
from resight.novelty.params import NoveltyParams
from resight.pairs.params import PairsParams
from resight.plugins.params import Params
from resight.rank.params import RankParams
from resight.report.params import ReportParams
from resight.runner.params import DaskParams
from resight.score.params import ScoreParams
from resight.segment.kinds.auto import AutoParams
from resight.segment.params import CropParams
from resight.settings.kinds import KINDS, ExtractorParams, MatcherParams, SegmenterParams, refuse_broken_plugins
from resight.shortlist.params import ShortlistParams

SETTINGS_FILE = "resight.toml"
ENV_PREFIX = "RESIGHT_"
OTHER_ENV = {"RESIGHT_WEIGHTS", "RESIGHT_SHARED", "RESIGHT_WORKSPACE"}
DEFAULT_KIND = {"segment": "auto", "extract": "sift", "match": "nearest"}


class Settings(Params):
    """Everything that can be set. ``resight init`` writes it out with comments."""

    ingest: IngestParams = IngestParams()
    encounter: EncounterParams = EncounterParams()
    segment: SegmenterParams = AutoParams()
    crop: CropParams = CropParams()
    extract: ExtractorParams = SiftParams()
    match: MatcherParams = NearestParams()
    pairs: PairsParams = PairsParams()
    shortlist: ShortlistParams = ShortlistParams()
    score: ScoreParams = ScoreParams()
    rank: RankParams = RankParams()
    novelty: NoveltyParams = NoveltyParams()
    evaluate: EvaluateParams = EvaluateParams()
    dask: DaskParams = DaskParams()
    report: ReportParams = ReportParams()
    device: Literal["cpu", "cuda", "mps"] = Field(
        "cpu", description="where networks run; never changed behind your back"
    )
    weights_dir: str = Field("", description="folder searched for weights first; RESIGHT_WEIGHTS comes next")
    allow_download: bool = Field(True, description="whether missing weights may be fetched from their official address")

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

    def model_part(self) -> dict[str, Any]:
        """The settings that make up the model: whatever changes results, and nothing that only says where and how fast."""
        return self.model_dump(
            mode="json", include={"segment", "crop", "extract", "shortlist", "match", "score", "rank", "novelty"}
        ) | {"viewpoint_policy": self.pairs.viewpoint}


def load_settings(
    workspace: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    without_file: Mapping[str, Any] | None = None,
) -> Settings:
    """Read all layers.

    Args:
        workspace: Folder that may hold ``resight.toml``.
        overrides: Highest layer, nested dicts or dotted keys (``{"extract.kind": "xfeat"}``).
        environ: Defaults to ``os.environ``.
        without_file: Lowest layer where there is no ``resight.toml``.

    Raises:
        SettingsError: A key is unknown or a value does not fit; the message names both and the nearest known key.
    """
    file = workspace / SETTINGS_FILE if workspace else None
    layers = [
        _read_toml(file) if file and file.exists() else dict(without_file or {}),
        _read_environ(os.environ if environ is None else environ),
        nest(overrides or {}),
    ]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer)
    return settings_from(merged, str(file) if file else "settings")


def settings_from(data: Mapping[str, Any], where: str = "settings") -> Settings:
    """Validate a nested dict; see `load_settings` for the errors."""
    refuse_broken_plugins()
    try:
        return Settings.model_validate(dict(data))
    except ValidationError as error:
        raise SettingsError(_explain(error, where)) from None


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``; nested input stays as it is."""
    out: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = nest(value) if isinstance(value, Mapping) else value
    return out


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn ``extract.max_keypoints=512`` from the command line into a nested dict."""
    flat: dict[str, Any] = {}
    for one in assignments:
        key, equals, value = one.partition("=")
        if not equals:
            raise SettingsError(f"--set {one!r} has no '='; write it as --set extract.max_keypoints=512")
        flat[key.strip()] = _plain_value(value.strip())
    return nest(flat)


def _plain_value(text: str) -> Any:
    if text[:1] in "[{" or text in {"true", "false", "null"}:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{text!r} is not valid JSON: {error}") from None
    return text


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{file} is not valid TOML ({error}); correct that line, or write a new file with `resight init`"
        ) from None


def _read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {k: v for k, v in environ.items() if k.startswith(ENV_PREFIX) and k not in OTHER_ENV}
    return nest({k.removeprefix(ENV_PREFIX).lower().replace("__", "."): _plain_value(v) for k, v in found.items()})


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    out = dict(low)
    for key, value in high.items():
        below = out.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            other_kind = "kind" in value and value["kind"] != below.get("kind", DEFAULT_KIND.get(key))
            out[key] = value if other_kind else _merge(below, value)
        else:
            out[key] = value
    return out


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors():
        loc = [str(part) for part in problem["loc"]]
        if loc and loc[0] in DEFAULT_KIND and len(loc) > 1:
            loc.pop(1)  # pydantic puts the chosen kind between section and key
        name = ".".join(loc)
        if problem["type"] == "extra_forbidden":
            candidates = known_keys() if "." in name else list(Settings.model_fields)
            near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.4)
            lines.append(f"{where}: there is no setting '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        elif problem["type"] == "union_tag_invalid":
            lines.append(
                f"{where}: {name}.kind = '{problem['ctx']['tag']}' is unknown; known are {problem['ctx']['expected_tags']}"
            )
        elif problem["type"] == "value_error":
            lines.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{where}: {name} = {problem.get('input')!r} does not fit: {problem['msg']}")
    return "\n".join(lines)


def known_keys() -> list[str]:
    """All dotted keys, those of every kind included."""
    keys: list[str] = []
    for name, field in Settings.model_fields.items():
        if name in KINDS:
            for cls in KINDS[name].kinds().values():
                keys += _keys_of(cls, name)
        elif isinstance(field.default, BaseModel):
            keys += _keys_of(type(field.default), name)
        else:
            keys.append(name)
    return sorted(set(keys))


def _keys_of(cls: type[BaseModel], prefix: str) -> list[str]:
    keys = []
    for name, field in cls.model_fields.items():
        if isinstance(field.default, BaseModel):
            keys += _keys_of(type(field.default), f"{prefix}.{name}")
        else:
            keys.append(f"{prefix}.{name}")
    return keys
