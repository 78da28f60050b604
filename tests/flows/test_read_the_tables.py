"""The examples of the page on reading tables, run in a workspace."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from resight.reading import open_run
from resight.store.workspace import Workspace

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "read-the-tables.md").read_text(encoding="utf-8")
NAMES = {"pd": "pandas", "pl": "polars", "duckdb": "duckdb"}


def test_the_examples_run(night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(night_workspace.root)
    ran, names = 0, dict[str, Any]()
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        if all(f"{name}." not in block or find_spec(module) for name, module in NAMES.items()):
            exec(block.replace("my season", str(night_workspace.root)), names)
            ran += 1
    assert ran >= 2


@pytest.mark.parametrize("name", ["pd", "pl", "read_parquet"])
def test_the_line_for_a_table_in_parts_reads_all_of_it(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(night_workspace.root)
    expected = open_run(night_workspace).table("pairs").num_rows
    (line,) = re.findall(rf"`({name}(?:\.read_parquet)?\([^`]*pairs\.parquet[^`]*\))`", PAGE)
    if name == "read_parquet":
        assert pytest.importorskip("duckdb").sql(f"select * from {line}").fetchall().__len__() == expected > 0
    else:
        assert len(eval(line, {name: pytest.importorskip(NAMES[name])})) == expected > 0
