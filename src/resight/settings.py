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
from resight.extract.params import SiftParams
from resight.match.params import NearestParams, PairsParams
from resight.params import Params
from resight.registry import ExtractorParams, MatcherParams, SegmenterParams
from resight.segment.params import AutoParams, CropParams
from resight.shortlist.params import ShortlistParams

SETTINGS_FILE = "resight.toml"
ENV_PREFIX = "RESIGHT_"
OTHER_ENV = {"RESIGHT_WEIGHTS", "RESIGHT_SHARED", "RESIGHT_WORKSPACE"}
DEFAULT_KIND = {"segment": "auto", "extract": "sift", "match": "nearest"}


class IngestParams(Params):
    """Which files are photos and which of them are refused."""

    sources: tuple[str, ...] = Field(
        ("photos",), description="folders, globs or fsspec addresses; relative to the workspace"
    )
    extensions: tuple[str, ...] = Field(
        (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif"),
        description="file endings taken for photos",
    )
    max_side_px: int = Field(16_000, ge=64, description="longer photos (panoramas) are refused")
    max_megapixels: float = Field(150.0, gt=0, description="larger photos are refused before they are decoded")
    min_side_px: int = Field(64, ge=1, description="smaller photos are refused")
    photos_per_task: int = Field(32, ge=1, description="photos in one Dask task")


class EncounterParams(Params):
    """How photos without an ``encounter_id`` are put together. An encounter is one animal, one place, one day."""

    unlabelled: Literal["photo", "folder"] = Field(
        "photo",
        description="photo: each photo is its own encounter; folder: all photos of one folder and day are one animal",
    )


class ScoreParams(Params):
    """How a distribution of confidences becomes one number."""

    name: str = Field("mean", description="score that ranks; see `resight doctor` for the list")
    null_pairs: int = Field(
        2000, ge=0, description="pairs of different animals that make up the null distribution, at most"
    )
    bins: int = Field(64, ge=8, le=256, description="bins of the stored histogram of confidences over (0, 1]")
    calibration: Literal["auto", "logistic", "beta", "isotonic"] = Field(
        "auto",
        description="how fused evidence becomes a probability; auto: what is best on held-out animals, if there are enough",
    )


class RankParams(Params):
    """How the photos of an encounter vote."""

    rule: Literal["auto", "max", "mean_top2", "mean_max", "mean_lme"] = Field(
        "auto",
        description="max: the best pair; mean_top2: mean of the two best pairs; mean_max: mean over the query photos of each "
        "one's best; mean_lme: the same with log-mean-exp over the gallery photos; auto: what is best on gallery encounters",
    )
    burst_seconds: float = Field(
        10.0, ge=0, description="photos of one encounter and side within so many seconds count once"
    )
    top_k: int = Field(5, ge=1, description="candidates kept per query")


class NoveltyParams(Params):
    """When an animal is called new."""

    alpha: float = Field(
        0.05, gt=0, lt=1, description="accepted share of new animals that are wrongly called a known one"
    )
    prior_new: float = Field(
        0.2, gt=0, lt=1, description="share of encounters with animals that nobody has seen before"
    )
    decide_known: float = Field(
        0.80, gt=0.5, lt=1, description="probability from which the best candidate is called known"
    )
    decide_new: float = Field(0.80, gt=0.5, lt=1, description="probability from which the animal is called new")
    without_guarantee: Literal["unsure", "name"] = Field(
        "unsure",
        description="where too few animals are known to honour alpha; name: call the best candidate known all the same",
    )
    candidate_coverage: float = Field(
        0.9, gt=0, lt=1, description="how often the candidate set holds the right animal, if it is in the gallery"
    )
    prior_single: float = Field(
        0.5, gt=0, lt=1, description="share of unknown encounters whose animal was met in no other unknown one"
    )
    link_probability: float = Field(
        0.8, gt=0.5, lt=1, description="probability from which two unknown encounters are taken for one animal"
    )
    calibration_encounters: int = Field(
        300, ge=0, description="gallery encounters that play the unknown animal, at most"
    )


class EvaluateParams(Params):
    """How accuracy is measured."""

    protocol: Literal["auto", "time-aware", "role", "leave-one-encounter-out"] = Field(
        "auto",
        description="auto: by the photos' roles where there are some; otherwise time-aware (earlier encounters are the gallery, later "
        "ones ask), or leave-one-encounter-out where that leaves fewer than few_queries; the result says which",
    )
    few_queries: int = Field(8, ge=0, description="fewer query encounters than that are too few for time-aware")
    open_share: float = Field(
        0.25,
        gt=0,
        le=0.5,
        description="share of the animals that are left out of the gallery at a time to play new ones",
    )
    seed: int = Field(0, ge=0, description="which animals are left out together; bootstrap draws")
    draws: int = Field(1000, ge=20, description="bootstrap draws behind every interval")
    background_control: bool = Field(
        False, description="match once more with the animals painted over: how much of the score is habitat"
    )
    tolerate_leak: bool = Field(
        False,
        description="measure also where an animal is asked for on a day of its gallery photos; there is no headline then",
    )
    against: str = Field("last", description="earlier run to compare with query by query: a run id, last, or none")
    worst: int = Field(12, ge=0, description="mistakes, and changed identifications, drawn on the page")


class DaskParams(Params):
    """Where the work runs."""

    address: str = Field("", description="scheduler, e.g. tcp://scheduler:8786; empty starts workers on this machine")
    workers: int = Field(0, ge=0, description="local workers; 0: one per core, or one per GPU when the device is cuda")
    mode: Literal["processes", "inline"] = Field(
        "processes", description="inline: in this process, for debugging and small jobs"
    )
    stall_seconds: float = Field(1800.0, gt=0, description="no block finished for so long: the run stops and says so")
    window_per_worker: int = Field(
        2, ge=1, description="blocks in flight per worker: one under way, the others waiting"
    )


class ReportParams(Params):
    """What the page shows."""

    candidates: int = Field(3, ge=0, description="candidates drawn per query encounter")
    thumbnail_px: int = Field(360, ge=64, le=2048, description="long side of the pictures in the page")
    max_encounters: int = Field(200, ge=1, description="query encounters on one page; the tables hold all")


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
        if not self.shortlist.accepts(self.extract.family):
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
    from resight import registry

    plug_ins = {"segment": registry.SEGMENTERS, "extract": registry.EXTRACTORS, "match": registry.MATCHERS}
    keys: list[str] = []
    for name, field in Settings.model_fields.items():
        if name in plug_ins:
            for cls in plug_ins[name]:
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
