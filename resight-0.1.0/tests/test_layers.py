"""What must start fast does not import what is slow. Who may import whom is checked by `make contracts`."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "cv2", "kornia", "onnxruntime", "transformers"}


def test_the_command_line_and_the_settings_start_without_the_heavy_packages() -> None:
    code = "import sys, resight.cli, resight.settings; print(sorted({'torch', 'cv2', 'prefect', 'kornia', 'distributed'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("stage", ["extract", "segment", "match", "score"])
def test_kinds_import_no_heavy_package_at_the_top(stage: str) -> None:
    for file in sorted((ROOT / "src" / "resight" / stage / "kinds").glob("*.py")):
        statements = ast.parse(file.read_text(encoding="utf-8")).body
        imported = {alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in statements if isinstance(node, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in imported} & HEAVY, file.name


def test_a_circle_is_seen() -> None:
    pytest.importorskip("grimp")
    spec = importlib.util.spec_from_file_location("import_circles", ROOT / "tools" / "import_circles.py")
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
