"""Where decisions are taken: the photos and verdicts of the newest run, and what has been decided since."""

from __future__ import annotations

import posixpath
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resight.decisions.entry import ABOUT_PHOTOS, Entry, Kind, clean_name
from resight.decisions.log import DecisionLog
from resight.decisions.names import did_you_mean, provisional_id, similar
from resight.decisions.state import Decided
from resight.decisions.tables import Tables, by_name
from resight.errors import SettingsError, WorkspaceError
from resight.store.generations import current_generation
from resight.store.workspace import Workspace

Row = dict[str, Any]
MOST_SHOWN = 5
LOOK_AGAIN_S = 1.0  # a page asks hundreds of times what is current


@dataclass
class Desk:
    """Takes decisions about the encounters of the newest run. Safe to use from several threads."""

    workspace: Workspace
    log: DecisionLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = DecisionLog(self.workspace)
        self._lock = threading.RLock()
        self._tables: Tables | None = None
        self._looked = 0.0
        self._state: tuple[tuple[Entry, ...] | None, Decided] = (None, Decided.of(()))
        self._named: tuple[Tables | None, Decided | None, dict[str, list[str]]] = (None, None, {})

    @property
    def tables(self) -> Tables:
        """Of what is current now; read again where another run has become current.

        Raises:
            WorkspaceError: There is no run yet.
        """
        with self._lock:
            if self._tables is not None and time.monotonic() - self._looked < LOOK_AGAIN_S:
                return self._tables
            generation = current_generation(self.workspace)
            self._looked = time.monotonic()
            if generation is None:
                raise WorkspaceError(f"{self.workspace.root} has no run yet; start with `resight nightly`.")
            if self._tables is None or self._tables.generation.folder != generation.folder:
                self._tables = Tables.of(generation)
            return self._tables

    @property
    def decided(self) -> Decided:
        """What counts at this moment."""
        with self._lock:
            entries = self.log.entries()
            if self._state[0] is not entries:
                self._state = (entries, Decided.of(entries))
            return self._state[1]

    def name_of(self, photo: Mapping[str, Any], decided: Decided | None = None) -> str | None:
        """Who a photo shows, as label files of the newest run and all decisions up to now say."""
        return (decided or self.decided).named(photo["photo_id"], photo["labelled_individual_id"])[0]

    def animals(self) -> dict[str, int]:
        """Usable photos by animal, as of now."""
        return {name: len(photos) for name, photos in self.photos_by_name.items()}

    @property
    def photos_by_name(self) -> Mapping[str, Sequence[str]]:
        """Usable photos of each animal, as of now. A page asks many times; only what people have decided on is looked at one by one."""
        with self._lock:
            tables, decided = self.tables, self.decided
            if self._named[0] is not tables or self._named[1] is not decided:
                self._named = tables, decided, by_name(tables, decided)
            return self._named[2]

    def encounters(self) -> dict[str, list[str]]:
        """photo_ids by encounter, split where people have split them since the newest run."""
        decided, now = self.decided, dict[str, list[str]]()
        for encounter, photos in self.tables.encounters.items():
            for photo in photos:
                now.setdefault(decided.encounter(photo, encounter), []).append(photo)
        return now

    def find(self, text: str) -> tuple[str, list[str]]:
        """An encounter and its photos, by what people call it: encounter_id, photo_id or the beginning of one, or a file.

        Raises:
            SettingsError: Nothing, or several encounters, are called so.
        """
        tables, now = self.tables, self.encounters()
        if text in now:
            return text, now[text]
        if text in tables.encounters:
            parts = sorted({e for e, photos in now.items() if set(photos) & set(tables.encounters[text])})
            raise SettingsError(f"{text} was split into {' and '.join(parts)}; name one of these, or a photo.")
        wanted = text.replace("\\", "/")
        hits = [r for r in tables.photos.values() if any(_is_called(r, uri, wanted) for uri in r["uris"])]
        found = sorted({e for e, photos in now.items() if {r["photo_id"] for r in hits} & set(photos)})
        if len(found) == 1:
            return found[0], now[found[0]]
        if found:
            some = ", ".join(sorted(r["uri"] for r in hits)[:MOST_SHOWN])
            raise SettingsError(f"{text!r} may be several photos ({some}); write more of the path.")
        near = similar(text, tables.encounters)
        hint = (
            f"did you mean {near[0]}"
            if near
            else "name a photo by its path below the photos, or an encounter as the report does"
        )
        raise SettingsError(f"Nothing here is called {text!r}; {hint}.")

    @property
    def has_run(self) -> bool:
        """Whether there is anything to decide about yet."""
        return current_generation(self.workspace) is not None

    def is_called(self, photo: str, text: str) -> bool:
        """Whether people may call a photo so."""
        row, wanted = self.tables.photos[photo], text.replace("\\", "/")
        return any(_is_called(row, uri, wanted) for uri in row["uris"])

    def same_as(self, encounter: str, other: str, by: str, **said: Any) -> Entry:
        """The decision that two encounters are one animal: the one that either is named as, first the other, else a new one of both.

        Raises:
            SettingsError: They are the same encounter, or photos of the other one have several names.
        """
        tables = self.tables
        if encounter == other:
            raise SettingsError("That is the same encounter; choose another one.")
        now = self.encounters()
        own, others = now[encounter], now[other]
        for named, unnamed in ((other, own), (encounter, others)):
            names = sorted({n for p in now[named] if (n := self.name_of(tables.photos[p]))})
            if len(names) > 1:
                raise SettingsError(
                    f"The photos of {named} have several names ({', '.join(names)}); say which animal it is."
                )
            if names:
                return self.entry(Kind.CONFIRM, by, unnamed, individual_id=names[0], **said)
        name = self.provisional_name(other)
        return replace(
            self.entry(Kind.SAME_AS, by, [*own, *others], individual_id=name, **said), encounter_id=encounter
        )

    def entry(self, kind: Kind, by: str, photos: Iterable[str] = (), **said: Any) -> Entry:
        """A decision about photos of the newest run, with what was there to be seen; not yet in the log.

        Raises:
            SettingsError: A photo is not of the newest run.
        """
        tables, ids = self.tables, tuple(sorted(set(photos)))
        missing = [p for p in ids if p not in tables.photos]
        if missing:
            raise SettingsError(f"Photo {missing[0]} is not in the newest run; load the page again.")
        encounters = sorted({tables.photos[p]["encounter_id"] for p in ids})
        labels = {p: label for p in ids if (label := tables.photos[p]["labelled_individual_id"])}
        generation = tables.generation
        return Entry(
            kind=kind,
            by=by,
            photos=ids,
            encounter_id=encounters[0] if encounters else "",
            labels=labels if kind in ABOUT_PHOTOS else {},
            run_id=generation.run_id,
            model=generation.model,
            evidence=_evidence(tables, encounters[0]) if encounters else {},
            **said,
        )

    def decide(self, entry: Entry, *, really_new: bool = False) -> Entry:
        """Check names, then add the decision to the log.

        Args:
            entry: From `entry`.
            really_new: A name that looks like a known one is another animal.

        Raises:
            SettingsError: The decision does not fit what is known: an unknown animal to confirm, a known name for a new one, a name
                that looks like a known one, an unknown decision to undo.
        """
        with self._lock:
            names: dict[str, Any] = {
                key: clean_name(value) for key in ("individual_id", "into") if (value := getattr(entry, key))
            }
            entry = replace(entry, **names)
            self._check(entry, really_new)
            return self.log.append(entry)

    def split_off(self, photos: Sequence[str], chosen: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The two parts of a split: photos of the other animal are ``chosen``, all others stay together.

        Raises:
            SettingsError: None, or all, are chosen.
        """
        rest = tuple(sorted(set(photos) - set(chosen)))
        if not chosen or not rest:
            raise SettingsError("Choose the photos that show the other animal: at least one, and not all.")
        return rest, tuple(sorted(set(chosen)))

    def provisional_name(self, encounter_id: str) -> str:
        """A name for a new animal that nobody has named."""
        verdict = self.tables.verdicts.get(encounter_id, {})
        return str(verdict.get("provisional_individual_id") or provisional_id(encounter_id))

    def _check(self, entry: Entry, really_new: bool) -> None:
        animals, decided = self.animals(), self.decided
        name, into = entry.individual_id or "", entry.into or ""
        if entry.kind in (Kind.CONFIRM, Kind.REJECT):
            _check_known(name, animals, decided, "use `new` for an animal that has no name yet")
        elif entry.kind in (Kind.NEW, Kind.SAME_AS):
            _check_new(name, animals, decided, really_new, allow_known=entry.kind is Kind.SAME_AS)
        elif entry.kind in (Kind.RENAME, Kind.MERGE, Kind.APART):
            _check_known(name, animals, decided, "`resight decisions --names` lists all")
            if name == into:
                raise SettingsError(f"{name} is called so already.")
            if entry.kind is Kind.RENAME:
                _check_new(into, {k: n for k, n in animals.items() if k != name}, decided, really_new, back=name)
            else:
                _check_known(into, animals, decided, "use `rename` for a name that nobody has yet")
        elif entry.kind is Kind.UNDO:
            self._check_undo(entry, decided)

    def _check_undo(self, entry: Entry, decided: Decided) -> None:
        earlier = next((e for e in decided.entries if e.decision_id == entry.undoes), None)
        if earlier is None:
            raise SettingsError(f"There is no decision {entry.undoes}; `resight decisions` lists them.")
        if not decided.counts(earlier):
            raise SettingsError(f"Decision {entry.undoes} is undone already.")

    def entry_called(self, beginning: str) -> Entry:
        """The decision whose id begins so.

        Raises:
            SettingsError: None or several do.
        """
        hits = [e for e in self.decided.entries if beginning and e.decision_id.startswith(beginning)]
        if len(hits) != 1:
            raise SettingsError(
                f"{len(hits) or 'No'} decisions begin with {beginning!r}; `resight decisions` lists them."
            )
        return hits[0]


def _check_known(name: str, animals: Mapping[str, int], decided: Decided, hint: str) -> None:
    if name in animals:
        return
    now = decided.called(name)
    if now != name:
        raise SettingsError(f"{name} is called {now} now.")
    near = similar(name, animals)
    raise SettingsError(did_you_mean(name, near) if near else f"Nobody is called {name}; {hint}.")


def _check_new(
    name: str,
    animals: Mapping[str, int],
    decided: Decided,
    really_new: bool,
    *,
    allow_known: bool = False,
    back: str = "",
) -> None:
    if name in animals and not allow_known:
        raise SettingsError(
            f"{name} is known already ({animals[name]} photos); confirm that animal, or choose another name."
        )
    now = decided.called(name)
    if now not in (name, back):
        raise SettingsError(f"{name} is called {now} now; choose another name.")
    near = [] if really_new or name in animals else similar(name, animals)
    if near:
        raise SettingsError(did_you_mean(name, near) + " If it is another animal, say so (--really-new).")


def _is_called(row: Row, uri: str, text: str) -> bool:
    """Whether ``text`` is the file, the end of its path, or the photo's id or the beginning of it."""
    return (
        uri == text
        or uri.endswith("/" + text)
        or (len(text) >= 6 and row["photo_id"].startswith(text.removeprefix("photo-")))
    )


def _evidence(tables: Tables, encounter: str) -> Row:
    """What the newest run has to say of an encounter, short enough for a line of the log."""
    verdict = tables.verdicts.get(encounter)
    if verdict is None:
        return {}
    shown = [
        {key: row[key] for key in ("individual_id", "probability", "best_query_photo_id", "best_gallery_photo_id")}
        for row in tables.candidates.get(encounter, ())[:MOST_SHOWN]
    ]
    return {"verdict": verdict["decision"], "p_new": verdict["p_new"], "candidates": shown}


def short_uri(uri: str) -> str:
    """A photo's path as people know it: below the inbox."""
    return posixpath.normpath(uri).removeprefix("photos/")
