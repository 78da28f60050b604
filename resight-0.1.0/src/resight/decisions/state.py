"""What counts, after all decisions have been read in their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from resight.decisions.entry import IDENTITY, NAMING, Box, Entry, Kind
from resight.store.fingerprint import digest_ids

CROPS = frozenset({Kind.BAD_CROP, Kind.NOT_A_HEAD})
SAME_BOX = 0.5  # share of the union that two boxes have in common if they are one crop


@dataclass(frozen=True)
class Identity:
    """Who a photo shows, and which decision says so.

    Attributes:
        name: The animal as it is called now; None where the decision is that nobody can tell.
        entry: The decision that counts.
        conflict: What a label file says otherwise, and which of the two counts; '' if they agree.
    """

    name: str | None
    entry: Entry
    conflict: str = ""


@dataclass(frozen=True)
class Decided:
    """All decisions that count.

    Attributes:
        entries: All that were ever made, in their order.
        active: decision_ids of those that count: undone ones do not.
        by_photo: By photo, the decisions that count for it, in their order.
        current_name: What each name that was renamed or merged is called now.
        apart: Pairs of names that a person says are two animals.
    """

    entries: tuple[Entry, ...]
    active: frozenset[str]
    by_photo: Mapping[str, Sequence[Entry]]
    current_name: Mapping[str, str]
    apart: frozenset[frozenset[str]]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Decided:
        """Replay the log."""
        everything = tuple(entries)
        active = _active(everything)
        counting = [e for e in everything if e.decision_id in active]
        by_photo: dict[str, list[Entry]] = defaultdict(list)
        for entry in counting:
            for photo in entry.photos:
                by_photo[photo].append(entry)
        names = _renamed(counting)
        apart = frozenset(
            frozenset(names.get(n, n) for n in (e.individual_id or "", e.into or ""))
            for e in counting
            if e.kind is Kind.APART
        )
        return cls(everything, active, dict(by_photo), names, apart)

    @property
    def digest(self) -> str:
        """Of all that was ever decided; '' if nothing was."""
        return digest_ids(e.decision_id for e in self.entries) if self.entries else ""

    def counts(self, entry: Entry) -> bool:
        """Whether nobody has undone it."""
        return entry.decision_id in self.active

    def called(self, name: str) -> str:
        """What an animal is called now."""
        return self.current_name.get(name, name)

    def identity(self, photo: str, label: str | None) -> Identity | None:
        """Who the photo shows by decisions; None where none says anything, or what a label file says came later.

        A label that differs from the one that the decision has seen was written after it, so the label counts; one that was there
        already is overruled. What contradicts is said either way.

        Args:
            photo: Its photo_id.
            label: What label files say now.
        """
        entry = self._of(photo, IDENTITY | {Kind.SPLIT})
        if entry is None or entry.kind is Kind.SPLIT:
            return None
        name = self.called(entry.individual_id) if entry.individual_id and entry.kind in NAMING else None
        said = self.called(label) if label else None
        if said is None or said == name:
            return Identity(name, entry)
        seen = entry.labels.get(photo)
        decision = f"{entry.by} has decided ({entry.at[:10]}): {name or 'cannot tell'}"
        if seen is not None and self.called(seen) == said:
            return Identity(name, entry, f"a label file says {said}, {decision}; the decision is later and counts")
        return Identity(said, entry, f"{decision}, a label file that was changed since says {said}; the label counts")

    def named(self, photo: str, label: str | None) -> tuple[str | None, Identity | None]:
        """The name that counts, of a decision or a label file as it is called now; and `identity`. Arguments as there."""
        identity = self.identity(photo, label)
        if identity is not None:
            return identity.name, identity
        return (self.called(label) if label else None), None

    def rejected(self, photos: Iterable[str], present: Iterable[str] | None = None) -> frozenset[str]:
        """Animals that an encounter with these photos is not.

        A rejection was said of all its photos together. Where an encounter was split since, they lie in several, and nobody knows of
        which it holds.

        Args:
            photos: Of the encounter.
            present: All photos that there are; a rejection counts without those that are gone. All are, if not given.
        """
        own, there = set(photos), None if present is None else set(present)
        refused: set[str] = set()
        for entry in sorted(
            {e.decision_id: e for p in own for e in self.by_photo.get(p, ())}.values(), key=lambda e: e.at
        ):
            about = set(entry.photos) if there is None else set(entry.photos) & there
            if not about <= own or not entry.individual_id:
                continue
            if entry.kind is Kind.REJECT:
                refused.add(self.called(entry.individual_id))
            elif entry.kind in NAMING:
                refused.discard(self.called(entry.individual_id))
        return frozenset(refused)

    def encounter(self, photo: str, encounter_id: str) -> str:
        """The encounter of a photo: a part of the one that it is in, where a person has split that."""
        entry = self._of(photo, {Kind.SPLIT})
        if entry is None:
            return encounter_id
        (part,) = [part for part in entry.parts if photo in part]
        name = f"/part-{digest_ids(sorted(part))[:6]}"
        return encounter_id if encounter_id.endswith(name) else encounter_id + name

    def taken_out(self, photo: str) -> Entry | None:
        """The decision by which a photo does not belong to the survey."""
        return self._of(photo, {Kind.DOES_NOT_BELONG})

    def drawn_box(self, photo: str) -> Entry | None:
        """The decision with the last box that a person has drawn around the head."""
        entries = [e for e in self.by_photo.get(photo, ()) if e.kind is Kind.BAD_CROP and e.box_px]
        return entries[-1] if entries else None

    def bad_crop(self, photo: str, box_px: Box) -> Entry | None:
        """The decision by which a crop is not used; a crop that a person has drawn later is."""
        bad: Entry | None = None
        for entry in self.by_photo.get(photo, ()):
            if entry.kind not in CROPS:
                continue
            if entry.box_px and overlap(entry.box_px, box_px) > SAME_BOX:
                bad = None
            elif entry.crop_box_px is None or overlap(entry.crop_box_px, box_px) > SAME_BOX:
                bad = entry
        return bad

    def side(self, photo: str, box_px: Box | None = None) -> str | None:
        """The side of the head that a person sees in a crop, or in the photo as a whole."""
        chosen = None
        for entry in self.by_photo.get(photo, ()):
            if entry.kind is Kind.SIDE:
                meant = entry.crop_box_px is None or box_px is None or overlap(entry.crop_box_px, box_px) > SAME_BOX
                chosen = entry.viewpoint if meant else chosen
        return chosen

    def _of(self, photo: str, kinds: Iterable[Kind]) -> Entry | None:
        return next((e for e in reversed(self.by_photo.get(photo, ())) if e.kind in kinds), None)


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Common area of two boxes (x, y, width, height) as a share of their union."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def _active(entries: Sequence[Entry]) -> frozenset[str]:
    """An undo counts unless it is undone itself."""
    undone: set[str] = set()
    for entry in reversed(entries):
        if entry.kind is Kind.UNDO and entry.decision_id not in undone and entry.undoes:
            undone.add(entry.undoes)
    return frozenset(e.decision_id for e in entries) - undone


def _renamed(entries: Iterable[Entry]) -> dict[str, str]:
    current: dict[str, str] = {}
    for entry in entries:
        if entry.kind not in (Kind.RENAME, Kind.MERGE):
            continue
        old, new = entry.individual_id or "", entry.into or ""
        for name in _called(current, old):
            current[name] = new
        current.pop(new, None)  # the name is in use again
    return current


def _called(current: Mapping[str, str], name: str) -> Iterator[str]:
    """The name, and all names that lead to it."""
    yield from [earlier for earlier, now in current.items() if now == name]
    yield name
