"""What changed between two runs: who an animal is taken for, how certain that is, and why it changed.

Encounters are followed by their photos, whose names come from their content: an encounter may have got another name when a
person labelled it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from resight.errors import SettingsError
from resight.export.sightings import CONFIRMED, Row, photos_and_verdicts, sighting_rows
from resight.settings import settings_from
from resight.store.runs import read_run, run_record
from resight.store.workspace import Workspace

IDENTITY = ("individual_id", "certainty")
VERDICT = (*IDENTITY, "decision", "best_candidate_id")  # of sightings that no person has named
SHOWN_SIDE = ("sighting_id", "individual_id", "certainty", "decision", "probability", "best_candidate_id")
LABELS = {"individual_id": "name", "viewpoint": "side", "taken_on": "day"}
SHOWN = 3
CHANGED, APPEARED, DISAPPEARED = "changed", "appeared", "disappeared"


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        record: Its record.
        photos: Rows of its table ``photos`` by photo.
        sightings: Its sightings by photo.
    """

    record: Mapping[str, Any]
    photos: Mapping[str, Row]
    sightings: Mapping[str, Row]

    @cached_property
    def named(self) -> dict[str, str]:
        """Usable photos that people have named: the gallery."""
        return {
            p: row["individual_id"] for p, row in self.photos.items() if p in self.sightings and row["individual_id"]
        }


def diff(workspace: Workspace, old_id: str, new_id: str) -> dict[str, Any]:
    """Sightings whose animal, certainty or verdict differs between two runs, and those that only one of them has.

    Returns:
        ``old`` and ``new``: run, night, flow, model and version; ``counts`` of changed, appeared, disappeared and same;
        ``causes``: how often each one came up; ``changes``: one dict for each sighting, with ``change``, ``photos``, ``old`` and
        ``new`` (name of the sighting, animal, certainty, verdict, probability, best candidate; None where it is not there), and
        ``causes``: dicts of ``cause`` and ``detail``.

        A cause is ``label`` (somebody named the photos or corrected their side or day: it explains the change alone), or one
        or several of ``photo`` (photos came, went, or are put together differently), ``gallery`` (other photos were
        named, renamed or removed), ``model``, ``settings`` and ``version``; ``unrecorded`` if none of them differs.

    Raises:
        WorkspaceError: There is no such run, or it has looked at no photos.
    """
    old, new = _side(workspace, old_id), _side(workspace, new_id)
    everywhere = _causes_everywhere(old, new)
    groups = _groups(old, new)
    changes = [change for group in groups if (change := _change(group, old, new, everywhere))]
    order = (CHANGED, APPEARED, DISAPPEARED)
    changes.sort(key=lambda change: (order.index(change["change"]), change["photos"]))
    counts = Counter(change["change"] for change in changes)
    return {
        "old": _about(old), "new": _about(new),
        "counts": {name: counts[name] for name in order} | {"same": len(groups) - len(changes)},
        "causes": dict(Counter(cause["cause"] for change in changes for cause in change["causes"])),
        "changes": changes,
    }  # fmt: skip


def _side(workspace: Workspace, run_id: str) -> Side:
    photos, verdicts = photos_and_verdicts(workspace, run_id)
    sightings = {p: row for row in sighting_rows(photos, verdicts, run_id) for p in row["photo_ids"]}
    record = run_record(read_run(workspace, run_id, "runs"))
    return Side(record, {row["photo_id"]: row for row in photos}, sightings)


def _about(side: Side) -> Row:
    return {name: side.record[name] for name in ("run_id", "night", "flow", "model_fingerprint", "resight_version")}


def _groups(old: Side, new: Side) -> list[list[str]]:
    """Photos that are in one sighting in both runs, sorted by their files."""
    together: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    for photo in sorted(old.sightings.keys() | new.sightings.keys()):
        names = tuple(side.sightings[photo]["sighting_id"] if photo in side.sightings else None for side in (old, new))
        together[names[0], names[1]].append(photo)
    return list(together.values())


def _change(group: Sequence[str], old: Side, new: Side, everywhere: Sequence[Row]) -> Row | None:
    """What became of one group of photos, or None if nothing did."""
    before, after = old.sightings.get(group[0]), new.sightings.get(group[0])
    if before and after and _same(before, after):
        return None
    if before is None or after is None:
        if _elsewhere(group[0], before or after or {}, old, new):
            return None  # a photo joined or left a sighting that the other run has, too; its row tells
        kind = APPEARED if before is None else DISAPPEARED
        causes = [_came_or_went(group, old, new)]
    else:
        kind = CHANGED
        labels = _labels(group, old, new)
        causes = labels or [*_photos(before, after), *everywhere]
        causes = causes or [{"cause": "unrecorded", "detail": "nothing that the runs record differs for it"}]
    return {
        "change": kind,
        "photos": [(new.photos.get(photo) or old.photos[photo])["uri"] for photo in group],
        "old": before and {name: before[name] for name in SHOWN_SIDE},
        "new": after and {name: after[name] for name in SHOWN_SIDE},
        "causes": causes,
    }


def _same(before: Row, after: Row) -> bool:
    """Whether animal, certainty and verdict agree; a verdict on what a person has named counts for nothing."""
    names = IDENTITY if before["certainty"] == after["certainty"] == CONFIRMED else VERDICT
    return all(before[name] == after[name] for name in names)


def _elsewhere(photo: str, own: Row, old: Side, new: Side) -> bool:
    """Whether other photos of the sighting that holds a photo are in a sighting of the other run."""
    other = new if photo in old.sightings else old
    return any(p in other.sightings for p in own["photo_ids"])


def _came_or_went(group: Sequence[str], old: Side, new: Side) -> Row:
    """Why only one of the runs has these photos in a sighting."""
    here, other = (new, old) if group[0] in new.sightings else (old, new)
    refused = [other.photos[photo] for photo in group if photo in other.photos]
    if refused:
        verb = "could not be used before" if here is new else "cannot be used any more"
        reason = refused[0]["reason"] or refused[0]["status"]
        return {"cause": "photo", "detail": f"{_photos_text(len(refused))} {verb}: {reason}"}
    return {"cause": "photo", "detail": f"{_photos_text(len(group))} {'came' if here is new else 'went'}"}


def _labels(group: Sequence[str], old: Side, new: Side) -> list[Row]:
    """What somebody has changed in the labels of these photos."""
    details = Counter(
        f"{word} {_said(before)} → {_said(after)}"
        for photo in group
        for column, word in LABELS.items()
        if (before := old.photos[photo][column]) != (after := new.photos[photo][column])
    )
    return [{"cause": "label", "detail": f"{detail} ({_photos_text(n)})"} for detail, n in details.items()]


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def _photos(before: Row, after: Row) -> list[Row]:
    """Which photos have joined or left the sighting."""
    came, went = (len(set(a["photo_ids"]) - set(b["photo_ids"])) for a, b in ((after, before), (before, after)))
    parts = [f"{_photos_text(n)} {word} the sighting" for n, word in ((came, "joined"), (went, "left")) if n]
    return [{"cause": "photo", "detail": ", ".join(parts)}] if parts else []


def _causes_everywhere(old: Side, new: Side) -> list[Row]:
    """What may have changed any sighting: the gallery, the model, settings, the program."""
    return [*_gallery(old, new), *_settings(old, new), *_version(old, new)]


def _gallery(old: Side, new: Side) -> list[Row]:
    """Photos that were named, renamed or taken out of the gallery between the runs, by animal."""
    came = Counter(name for photo, name in new.named.items() if old.named.get(photo) != name)
    went = Counter(name for photo, name in old.named.items() if new.named.get(photo) != name)
    parts = [
        f"{_photos_text(sum(n.values()))} {word} ({_most(n)})" for n, word in ((came, "came in"), (went, "left")) if n
    ]
    return [{"cause": "gallery", "detail": f"of the named photos, {' and '.join(parts)}"}] if parts else []


def _most(counts: Counter[str]) -> str:
    return _listed([f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))])


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items[:SHOWN]) + (f" and {len(items) - SHOWN} more" if len(items) > SHOWN else "")


def _settings(old: Side, new: Side) -> list[Row]:
    """The model, and settings that decide without being part of it."""
    causes = []
    model_parts = [_flat(_part(side, "model")) for side in (old, new)]
    if old.record["model_fingerprint"] != new.record["model_fingerprint"]:
        details = _differences(*model_parts) or ["other weights"]
        names = f"{old.record['model_fingerprint']} → {new.record['model_fingerprint']}"
        causes.append({"cause": "model", "detail": f"{names}: {_listed(details)}"})
    details = _differences(*(_flat(_part(side, "run")) for side in (old, new)))
    return [*causes, {"cause": "settings", "detail": _listed(details)}] if details else causes


def _part(side: Side, what: str) -> Mapping[str, Any]:
    """The settings of a run that belong to the model or decide its results; as they stand if this version no longer knows them."""
    stored: Mapping[str, Any] = side.record["settings"]
    try:
        settings = settings_from(stored, f"run {side.record['run_id']}", stored=True, say=lambda _: None)
    except SettingsError:
        return stored if what == "model" else {}
    if what == "model":
        return settings.model_part()
    return {name: value for name, value in settings.part("run").items() if name != "evaluate"}


def _flat(part: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in part.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return flat


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Settings that differ, kinds first; of a section of another kind nothing but the kind."""
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    kinds = [name for name in names if name.endswith(".kind")]
    others = [name for name in names if not any(name.startswith(kind.removesuffix("kind")) for kind in kinds)]
    return [f"{name} {_said(old.get(name))} → {_said(new.get(name))}" for name in kinds + others]


def _version(old: Side, new: Side) -> Iterable[Row]:
    versions = [side.record["resight_version"] for side in (old, new)]
    return (
        [] if versions[0] == versions[1] else [{"cause": "version", "detail": f"Resight {versions[0]} → {versions[1]}"}]
    )


def _photos_text(n: int) -> str:
    return "1 photo" if n == 1 else f"{n} photos"
