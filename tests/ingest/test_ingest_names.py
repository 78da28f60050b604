"""Photos whose file names are not UTF-8 or otherwise odd are rows like all others, under a name that leads back to the file."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from resight.ingest.addresses import path_of, text_of
from resight.ingest.decode import load_rgb
from resight.ingest.stage import IngestResult
from resight.store.parts import read_parts
from resight.store.tables import conform
from resight.store.workspace import Workspace

ODD = [
    b"caf\xe9.jpg", b"\xff\xfe.jpg", b"\x80\x81/\xed\xb0\x80.jpg", "caf\ufffdE9.jpg".encode(), "\ufffd.jpg".encode(),
    b"line\nbreak.jpg", b"tab\tquote\"comma,semi;.jpg", b"=1+1.jpg", b"back\\slash.jpg", b"bell\x07\x1b[31m.jpg",
    "right\u202eto left.jpg".encode(), b" .jpg", b"a" * 251 + b".jpg", b"\xe9" * 251 + b".jpg", b"{n} {items} {uri}.jpg",
    b"<script>alert(1)<.jpg", b"%E9.jpg",
]  # fmt: skip


def picture(path: bytes, shade: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 96, 3), shade, np.uint8)).save(buffer, "JPEG")
    with open(path, "wb") as file:
        file.write(buffer.getvalue())


@pytest.fixture
def odd_photos(workspace: Workspace) -> Path:
    """A photo under every odd name; the empty ones are rejected."""
    folder = workspace.root / "photos"
    for shade, name in enumerate(ODD):
        picture(os.fsencode(folder) + b"/" + name, 10 * shade)
        (folder / "empty").mkdir(exist_ok=True)
    with open(os.fsencode(folder) + b"/empty/caf\xe9\n.jpg", "wb"):
        pass
    return folder


@pytest.mark.parametrize("name", ODD)
def test_text_leads_back_to_the_name(name: bytes) -> None:
    path = os.fsdecode(name)
    text = text_of(path)
    assert path_of(text) == path and text.encode("utf-8")
    assert len({text_of(os.fsdecode(n)) for n in ODD}) == len(ODD)
    assert text_of("ünter wasser/\ufffd.jpg") == "ünter wasser/\ufffd.jpg"


def test_odd_names_are_rows_and_survive_every_format(
    odd_photos: Path, workspace: Workspace, read_photos: Callable[..., IngestResult], tmp_path: Path
) -> None:
    result = read_photos("photos")
    rows = {row["uri"]: row for row in result.photos.to_pylist()}
    assert "photos/caf\ufffdE9.jpg" in rows and len(rows) == len(ODD) + 1
    assert {uri for uri, row in rows.items() if row["status"] == "rejected"} == {"photos/empty/caf\ufffdE9\n.jpg"}
    names = {os.fsencode(path_of(uri.removeprefix("photos/"))) for uri in rows if "/empty/" not in uri}
    assert names == set(ODD)
    for uri, row in rows.items():
        assert "\n" not in row["message"]
        if row["status"] == "ok":
            assert load_rgb(uri, 10, workspace.root).shape == (64, 96, 3)
    pq.write_table(conform("photos", result.photos, "run"), tmp_path / "photos.parquet")
    assert set(pq.read_table(tmp_path / "photos.parquet")["uri"].to_pylist()) == set(rows)
    assert json.loads(json.dumps(sorted(rows))) == sorted(rows)
    with (tmp_path / "photos.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([uri] for uri in rows)
    with (tmp_path / "photos.csv").open(encoding="utf-8", newline="") as file:
        assert {line[0] for line in csv.reader(file)} == set(rows)
    assert read_photos("photos").n_decoded == 0


def test_a_label_and_a_source_may_use_the_written_form(
    workspace: Workspace, read_photos: Callable[..., IngestResult]
) -> None:
    folder = os.fsencode(workspace.root) + b"/ann\xe9e"
    picture(folder + b"/caf\xe9.jpg", 50)
    with open(folder + b"/metadata.csv", "w", encoding="utf-8") as file:
        file.write("file,individual_id\ncaf\ufffdE9.jpg,Ada\ngone.jpg,Bea\n")
    for source in ("ann\ufffdE9e", os.fsdecode(b"ann\xe9e"), "ann\ufffdE9e/caf\ufffdE9.jpg", "*/caf*"):
        result = read_photos(source)
        assert result.photos.select(["uri", "individual_id"]).to_pylist() == [
            {"uri": "ann\ufffdE9e/caf\ufffdE9.jpg", "individual_id": "Ada"}
        ]
        assert all(note.encode("utf-8") for note in result.notes)


def test_a_folder_of_such_a_name_outside_the_workspace(
    workspace: Workspace, read_photos: Callable[..., IngestResult]
) -> None:
    outside = os.fsencode(workspace.root.parent) + b"/outsid\xe9"
    picture(outside + b"/a.jpg", 50)
    (uri,) = read_photos(os.fsdecode(outside)).photos["uri"].to_pylist()
    assert uri == f"{workspace.root.parent.as_posix()}/outsid\ufffdE9/a.jpg"
    assert load_rgb(uri, 10, workspace.root).shape == (64, 96, 3)
    schema = pa.schema([("uri", pa.string())])
    (fingerprint,) = (workspace.store / "ingest").iterdir()
    assert read_parts(fingerprint, schema)["uri"].to_pylist() == [uri]
