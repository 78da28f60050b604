"""Pages that were published: their links lead to photos that are put beside them."""

from __future__ import annotations

import uuid

import fsspec
from generation_helpers import make_run

from resight.bucket.publish import publish_to
from resight.store.publication import publish_generation
from resight.store.workspace import Workspace


def test_links_to_photos_hold_on_every_page_there(workspace: Workspace) -> None:
    address, fs = f"memory://{uuid.uuid4().hex}/zakynthos", fsspec.filesystem("memory")
    make_run(workspace, "r1", links='<a href="../../photos/a.jpg">')
    publish_generation(workspace, run_id="r1")
    done, root = publish_to(workspace, address), address.partition("://")[2]
    assert b'href="../photos/' in (workspace.current / "report.html").read_bytes()
    for folder in ("runs/r1", done["current"]):
        assert fs.cat_file(f"{root}/{folder}/report.html").endswith(b'href="../../photos/a.jpg">')
    again = publish_to(workspace, address, check=True)
    assert again["current"] == done["current"] and not again["uploaded"] and not again["damaged"]
