"""What ``import resight`` offers: it loads nothing by itself, and every example in docstrings and on the page works."""

import ast
import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flow_helpers import SMALL

import resight
from resight.store.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "python-api.md"


@pytest.fixture
def season(night_workspace: Workspace, survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the examples run: a workspace after one night, and a photo from somebody else."""
    for key in ("extract.max_keypoints", "crop.head_side_px", "dask.mode"):
        section, name = key.split(".")
        monkeypatch.setenv(f"RESIGHT_{section}__{name}".upper(), str(SMALL[section][name]))
    root = night_workspace.root.rename(tmp_path / "my season")
    shutil.copy(next(survey.rglob("*.[jJ][pP][gG]")), tmp_path / "from a tourist.jpg")
    with (tmp_path / "from a tourist.jpg").open("ab") as photo:
        photo.write(b"\0")
    shutil.copytree(survey, tmp_path / "labelled photos")
    monkeypatch.chdir(tmp_path)
    return root


def test_importing_the_face_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import resight; print(*sorted(m for m in set(sys.modules) - before if 'resight.' in m), {'numpy', 'pyarrow', 'pydantic'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "set()"


def test_a_type_checker_and_the_program_see_the_same_names() -> None:
    tree = ast.parse(Path(str(resight.__file__)).read_text(encoding="utf-8"))
    imports = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "")[:8] == "resight."
    ]
    typed = {name.asname or name.name: node.module for node in imports for name in node.names}
    lazy: dict[str, str] = vars(resight)["_MODULE_OF"]
    assert typed == {name: f"resight.{module}" for name, module in lazy.items()}
    assert sorted(typed) == sorted(resight.__all__) == dir(resight)
    for name in resight.__all__:
        assert getattr(resight, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        vars(resight)["__getattr__"]("no_such_name")


def test_every_example_works(season: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner = doctest.DocTestRunner()
    finder = doctest.DocTestFinder(recurse=False)
    examples = [
        test
        for name in resight.__all__
        for test in finder.find(getattr(resight, name), name, globs={"resight": resight})
    ]
    assert {test.name for test in examples if test.examples} >= {
        "RunResults",
        "open_run",
        "identify",
        "run_nightly",
        "run_evaluate",
    }
    for test in examples:
        runner.run(test)
    assert runner.failures == 0, capsys.readouterr().out
    names_on_page: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names_on_page)
    answers_agree(SimpleNamespace(**names_on_page))


def answers_agree(page: SimpleNamespace) -> None:
    """What the page's examples have read is what the run has written."""
    run = resight.open_run("my season", page.night["run_id"])
    assert run.folder == Path(page.night["folder"]) and run.record["work"] == page.night["work"]
    assert run.settings.extract.max_keypoints == SMALL["extract"]["max_keypoints"]
    row = next(
        r
        for r in run.table("pairs").to_pylist()
        if (r["query_crop_id"], r["gallery_crop_id"]) == (page.query, page.gallery)
    )
    assert 0 < len(page.points.confidence) == min(80, row["n_matches"])
    turned = run.pair(page.gallery, page.query)
    np.testing.assert_array_equal(turned.xy_a_px, page.points.xy_b_px)
    assert page.rgb.shape[:2] == page.mask.shape == tuple(reversed(page.features.size_wh_px))
    assert len(page.features) == row["n_keypoints_query"]
    for wrong in (
        lambda: run.table("no_such_table"),
        lambda: run.crop("no crop"),
        lambda: run.pair(page.query, "no crop"),
    ):
        with pytest.raises(resight.WorkspaceError, match="has no"):
            wrong()
