"""Two sites on one machine that share a gallery: nights by turns, and neither touches the other, nor the gallery."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
from warm import SETTINGS, photo

from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.flows.nightly import run_nightly
from resight.run.models import current_model
from resight.store.runs import read_current
from resight.store.workspace import Workspace, open_workspace

NIGHTS = ("2026-06-04", "2026-06-05", "2026-06-06")
ADA, BOB = 1, 2


def test_three_nights_of_two_sites(tmp_path: Path) -> None:
    gallery = _gallery(tmp_path / "gallery")
    places = {
        "zante": _site(tmp_path / "zante", gallery, 'must_agree = ["site"]'),  # its animals are met nowhere else
        "lookout": _site(tmp_path / "lookout", gallery),  # only looks: it has no names of its own
    }
    for day, night in enumerate(NIGHTS):
        for name, place in places.items():
            others = {folder: _digest(folder) for folder in (gallery, *(p.root for p in places.values() if p != place))}
            photo(place.root / "photos" / f"{day}-ada.png", ADA, 10 + day)
            photo(place.root / "photos" / f"{day}-bob.png", BOB, 20 + day)
            rows = [f"{file.name},{night},left,{name}" for file in sorted((place.root / "photos").glob("*.png"))]
            (place.root / "photos" / "metadata.csv").write_text("\n".join(["file,date,viewpoint,site", *rows, ""]))
            run_nightly(place.root, night, quiet=True)
            if (day, name) == (1, "zante"):
                _confirm(place, "0-ada.png", "Ada")
            assert {folder: _digest(folder) for folder in others} == others, (
                f"the night of {name} changed another folder"
            )
    # With `must_agree` Bob, an animal of bonaire, is no candidate at zante; the site that only looks is asked for both.
    assert [_candidates(place) for place in places.values()] == [{"Ada"}, {"Ada", "Bob"}]
    photos = {name: read_current(place, "photos") for name, place in places.items()}
    assert [table is not None and table.num_rows for table in photos.values()] == [4 + 6, 4 + 6]
    assert [len(list(place.decisions.glob("*"))) if place.decisions.exists() else 0 for place in places.values()] == [
        1,
        0,
    ]
    assert all(current_model(place) for place in places.values())
    (of_all,) = duckdb.sql(
        f"SELECT list_sort(list(DISTINCT split_part(filename, '/', -3))) FROM read_parquet('{tmp_path}/*/current/novelty.parquet', filename = true)"
    ).fetchall()
    assert of_all[0] == ["lookout", "zante"]


def _gallery(folder: Path) -> Path:
    rows = []
    for name, animal, site in (("Ada", ADA, "zante"), ("Bob", BOB, "bonaire")):
        for look in (1, 2):
            photo(folder / f"{name}{look}.png", animal, look)
            rows.append(f"{name}{look}.png,{name},2025-0{look}-01,left,{site}")
    (folder / "metadata.csv").write_text("\n".join(["file,individual_id,date,viewpoint,site", *rows, ""]))
    return folder


def _site(root: Path, gallery: Path, policy: str = "") -> Workspace:
    (root / "photos").mkdir(parents=True)
    sources = f'[ingest]\nsources = ["{gallery}", "photos"]\n'
    (root / "resight.toml").write_text(f'site = "{root.name}"\n{sources}[pairs]\n{policy}\n{SETTINGS}')
    return open_workspace(root)


def _confirm(place: Workspace, file: str, name: str) -> None:
    desk = Desk(place)
    photos = [p for p, row in desk.tables.photos.items() if str(row["uri"]).endswith(file)]
    desk.decide(desk.entry(Kind.CONFIRM, "Ana", photos, individual_id=name))


def _candidates(place: Workspace) -> set[str]:
    found = read_current(place, "identifications")
    assert found is not None
    return set(found["individual_id"].to_pylist())


def _digest(folder: Path) -> str:
    """Of all names, contents and times below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found.update(f"{path} {state.st_mode} {state.st_mtime_ns} {hashlib.sha256(content).hexdigest()}\n".encode())
    return found.hexdigest()
