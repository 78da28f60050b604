"""One export: read the run, make the files, put them where they belong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from resight.errors import SettingsError, WorkspaceError
from resight.export.base import Product, Source, Wishes
from resight.export.clocks import checked_zone, offset_at, photo_offsets
from resight.export.kinds import KINDS, Kind
from resight.export.sightings import (
    CONFIRMED,
    DECIDED,
    OPEN,
    PROVISIONAL,
    Row,
    newest_run,
    photos_and_verdicts,
    scientific_name,
    sighting_rows,
)
from resight.ingest.addresses import address_of, opened
from resight.store.durable import write_bytes
from resight.store.runs import read_run, run_record, write_json
from resight.store.workspace import Workspace

RECORD = ".resight-export.json"  # names of the files that the last export into a folder has written
PIECE_BYTES = 1 << 20


def export(
    workspace: Workspace,
    kind: str,
    *,
    out: Path | None = None,
    run_id: str | None = None,
    since: date | None = None,
    wishes: Wishes | None = None,
) -> dict[str, Any]:
    """Write one kind of export of a run's sightings.

    Args:
        workspace: Where the run lies.
        kind: A key of `KINDS`.
        out: The file or folder to write; the kind's own place below ``exports`` if not given.
        run_id: The run; the newest accepted one if not given.
        since: Sightings from that day on; all, also those without a date, if not given.
        wishes: What the user wants of the export.

    Returns:
        ``kind``, ``run_id``, ``out``, ``files``, ``counts`` of sightings by certainty, and ``notes``.

    Raises:
        SettingsError: There is no such kind, it does not heed a wish, or something that it needs is missing.
        WorkspaceError: There is no such run, or there is nothing to export.
    """
    wishes = wishes or Wishes()
    chosen = _checked_kind(kind, wishes, out)
    run_id = run_id or newest_run(workspace)
    photos, verdicts = photos_and_verdicts(workspace, run_id)
    offsets = photo_offsets(photos, workspace.root) if "time_zone" in chosen.heeds else {}
    rows = _chosen_rows(sighting_rows(photos, verdicts, run_id, offsets), run_id, wishes, since)
    record = run_record(read_run(workspace, run_id, "runs"))
    times = {photo["photo_id"]: photo["taken_at"] for photo in photos if photo["taken_at"] is not None}
    product = chosen.make(Source(workspace, record, rows, wishes, times))
    target = (out or workspace.root / chosen.out).expanduser().absolute()
    files = _write(product, target, chosen, workspace)
    counts = {name: sum(row["certainty"] == name for row in rows) for name in (CONFIRMED, DECIDED, PROVISIONAL, OPEN)}
    return {
        "kind": kind, "run_id": run_id, "out": str(target), "files": files, "counts": counts, "notes": product.notes,
    }  # fmt: skip


def _checked_kind(kind: str, wishes: Wishes, out: Path | None) -> Kind:
    if kind not in KINDS:
        raise SettingsError(f"There is no export '{kind}'; there are {', '.join(KINDS)}.")
    chosen = KINDS[kind]
    for field in dataclasses.fields(wishes):
        if getattr(wishes, field.name) != field.default and field.name not in chosen.heeds:
            takers = ", ".join(name for name, other in KINDS.items() if field.name in other.heeds)
            raise SettingsError(f"--{field.name.replace('_', '-')} does not concern '{kind}'; it belongs to {takers}.")
    if out is not None and not chosen.movable:
        raise SettingsError(f"'{kind}' lies in the workspace, beside what it describes; leave --out away.")
    if wishes.time_zone:
        checked_zone(wishes.time_zone)
    return chosen


def _chosen_rows(rows: list[Row], run_id: str, wishes: Wishes, since: date | None) -> list[Row]:
    """The sightings to export, with species and offsets as the user wishes."""
    if since is not None:
        rows = [row for row in rows if row["taken_on"] is not None and row["taken_on"] >= since]
    if not rows:
        raise WorkspaceError(f"Run {run_id} has no sighting{f' since {since}' if since else ''} to export.")
    for row in rows:
        if wishes.species and not row["species"]:
            row["species"] = scientific_name(wishes.species)
        if wishes.time_zone and row["taken_at"] is not None and not row["utc_offset"]:
            row["utc_offset"] = offset_at(wishes.time_zone, row["taken_at"])
    return rows


def _write(product: Product, target: Path, kind: Kind, workspace: Workspace) -> Sequence[str]:
    """Write the files; each replaces an older one of its name whole."""
    if kind.one_file and target.is_dir():
        raise SettingsError(f"{target} is a folder, and this export is one file; add the file's name to --out.")
    if not kind.one_file and target.exists() and not target.is_dir():
        raise SettingsError(f"{target} is a file, and this export is a folder; name another place with --out.")
    written = {name: target if kind.one_file else target / name for name in [*product.files, *product.photos]}
    for name, data in product.files.items():
        write_bytes(written[name], data)
    for name, uri in product.photos.items():
        _copy(uri, written[name], workspace)
    if not kind.one_file:
        _remove_older(target, list(written))
    return [str(path) for path in written.values()]


def _remove_older(folder: Path, names: list[str]) -> None:
    """Remove what an earlier export has left in the folder and this one has not written anew, and nothing else."""
    record = folder / RECORD
    earlier = json.loads(record.read_text(encoding="utf-8"))["files"] if record.exists() else []
    for name in set(earlier) - set(names):
        (folder / name).unlink(missing_ok=True)
    write_json(record, {"files": sorted(names)})


def _copy(uri: str, path: Path, workspace: Workspace) -> None:
    try:
        with opened(address_of(uri, workspace.root)) as source:
            write_bytes(path, iter(partial(source.read, PIECE_BYTES), b""))
    except FileNotFoundError:
        raise WorkspaceError(f"The photo {uri} is gone; put it back, or export without --with-photos.") from None
