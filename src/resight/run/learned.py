"""What a night needs to know of the calibration pairs: learned once for a gallery, then read.

``store/calibration/<pairs>/<name>/`` holds ``learned.json`` (null, rule of the votes, what scores mean) and the sums of what gallery
crops score with other animals, or what has changed of those of another such folder (`resight.run.learned_sums`). The name stands for all that decides them beside the pairs: settings, labels, days, and the fusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.errors import DamagedError
from resight.novelty.model import NoveltyModel
from resight.novelty.yardstick import Yardstick
from resight.rank.params import RankParams
from resight.rank.rule import ChosenRule
from resight.run.learned_sums import POWERS, read_parts, write_parts
from resight.score.cohorts import KnownSums
from resight.score.gallery import Gallery
from resight.score.null import CountNull, Moments, Null, NullDistribution
from resight.store.damage import set_aside
from resight.store.parts import write_part
from resight.store.sealed import read_json, write_json
from resight.store.selective import read_columns

LEARNED = "learned.json"
SUMS = ("inliers", "log_sum")
TOTALS = pa.schema([("crop_id", pa.string()), *POWERS])
Row = dict[str, Any]


@dataclass(frozen=True)
class Learned:
    """What calibration pairs have taught.

    Attributes:
        null: What pairs of different animals look like.
        gallery: What each gallery crop scores with other animals.
        rule: How photos vote, and why so.
        model: What scores of the same and of different animals mean.
        place: Where that and the pairs lie, below ``store/calibration``.
    """

    null: Null
    gallery: Gallery
    rule: ChosenRule
    model: NoveltyModel
    place: str = ""


def null_of(folder: Path) -> Null:
    """The null alone, of a folder.

    Raises:
        DamagedError: It is not what was written.
        FileNotFoundError: It is not there.
    """
    return _null(read_json(folder / LEARNED)["null"])


def write_learned(folder: Path, learned: Learned, before: Path | None = None) -> None:
    """What names the others last.

    Args:
        folder: Where.
        learned: What was learned.
        before: Folder of what was learned from another set of pairs, whose sums may be referred to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sums: dict[str, KnownSums] = {name: getattr(learned.gallery, name) for name in SUMS}
    for name, of_name in sums.items():
        write_part(folder, f"{name}-totals", of_name.totals)
    place, upon = _written_whole(before, folder)
    referred = write_parts(folder, {name: of_name.parts for name, of_name in sums.items()}, upon)
    rule = learned.rule
    values = {
        "upon": place if referred else "",
        "null": _null_values(learned.null),
        "tried": learned.gallery.tried,
        "voted": sorted(learned.gallery.voted),
        "rule": [
            rule.params.rule,
            list(rule.right.items()),
            list(rule.right_photos.items()),
            rule.n_encounters,
            rule.n_individuals,
        ],
        "model": _model_values(learned.model),
    }
    write_json(folder / LEARNED, values, indent=None)


def _written_whole(folder: Path | None, other: Path) -> tuple[str, dict[str, pa.Table]]:
    """Where sums lie that may be referred to, and they; nothing where they cannot be read or lie in ``other``."""
    if folder is None:
        return "", {}
    try:
        place = refers_to(folder) or f"{folder.parent.name}/{folder.name}"
        root = folder.parent.parent / place
        return (place, {name: read_parts(root, name, None) for name in SUMS}) if root != other else ("", {})
    except FileNotFoundError:
        return "", {}
    except DamagedError as damage:
        set_aside(damage)
        return "", {}


def refers_to(folder: Path) -> str:
    """Where sums lie of which a folder has the changes, below ``store/calibration``; '' where it has all itself.

    Raises:
        DamagedError: It is not what was written.
        FileNotFoundError: It is not there.
    """
    return str(read_json(folder / LEARNED).get("upon", ""))


def read_learned(folder: Path, params: RankParams) -> Learned | None:
    """What was written; None where it is not there. Damaged files are set aside."""
    try:
        values = read_json(folder / LEARNED)
        upon = folder.parent.parent / values["upon"] if values.get("upon") else None
        sums = [
            KnownSums(read_columns(folder / f"{name}-totals.parquet", TOTALS), read_parts(folder, name, upon))
            for name in SUMS
        ]
    except FileNotFoundError:
        return None
    except DamagedError as damage:
        set_aside(damage)
        return None
    gallery = Gallery(sums[0], sums[1], values["tried"], frozenset(values["voted"]))
    rule, right, right_photos, n_encounters, n_individuals = values["rule"]
    settled = params.model_copy(update={"rule": rule})
    chosen = ChosenRule(settled, dict(right), dict(right_photos), n_encounters, n_individuals)
    return Learned(
        _null(values["null"]), gallery, chosen, _model(values["model"]), f"{folder.parent.name}/{folder.name}"
    )


def _null_values(null: Null) -> Row:
    def distribution(one: NullDistribution | None) -> Row | None:
        return None if one is None else vars(one) | {"counts": list(one.counts)}

    return {
        "pooled": distribution(null.pooled),
        "by_class": {name: distribution(one) for name, one in null.by_class.items()},
        "counts": None if null.counts is None else dict(vars(null.counts)),
        "inliers": dict(vars(null.inliers)),
    }


def _null(values: Row) -> Null:
    def distribution(one: Row) -> NullDistribution:
        return NullDistribution(**one | {"counts": tuple(one["counts"])})

    pooled, counts = values["pooled"], values["counts"]
    return Null(
        None if pooled is None else distribution(pooled),
        {name: distribution(one) for name, one in values["by_class"].items()},
        None if counts is None else CountNull(**counts),
        Moments(**values["inliers"]),
    )


def _model_values(model: NoveltyModel) -> Row:
    values = {f.name: getattr(model, f.name) for f in fields(model)}
    genuine: Mapping[int, Yardstick] = values.pop("genuine")
    values["levels"] = [list(row) for row in model.levels.rows]
    return values | {"genuine": [[gap, [list(row) for row in yardstick.rows]] for gap, yardstick in genuine.items()]}


def _model(values: Row) -> NoveltyModel:
    genuine = {gap: _yardstick(rows) for gap, rows in values["genuine"]}
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return NoveltyModel(**values | tuples | {"levels": _yardstick(values["levels"]), "genuine": genuine})


def _yardstick(rows: list[list[Any]]) -> Yardstick:
    return Yardstick(tuple((encounter, animal, n, score) for encounter, animal, n, score in rows))
