"""Imports point one way, and what must start fast does not import what is slow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {"catalog": 0, "src/resight": 1, "tasks": 2, "flows": 3}
WIRING = ("src/resight/cli/", "src/resight/__init__.py")  # the command line and the public face call flows
ONLY = {"prefect": ("flows", "tasks"), "distributed": ("src/resight/runner",), "dask": ("src/resight/runner",)}


def imports_of(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def layer_of(module: str) -> int:
    for part in ("catalog", "tasks", "flows"):
        if module.startswith(f"resight.{part}"):
            return LAYERS[part]
    return LAYERS["src/resight"]


@pytest.mark.parametrize("folder", LAYERS)
def test_imports_point_one_way(folder: str) -> None:
    for file in sorted((ROOT / folder).rglob("*.py")):
        if file.relative_to(ROOT).as_posix().startswith(WIRING):
            continue
        for module in imports_of(file):
            if module.startswith("resight"):
                assert layer_of(module) <= LAYERS[folder], f"{file.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("package", ONLY)
def test_engines_stay_in_their_place(package: str) -> None:
    for folder in LAYERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            relative = file.relative_to(ROOT).as_posix()
            if any(m == package or m.startswith(f"{package}.") for m in imports_of(file)):
                assert relative.startswith(ONLY[package]), f"{relative} imports {package}"


def test_the_command_line_and_the_settings_start_without_the_heavy_packages() -> None:
    code = "import sys, resight.cli, resight.settings; print(sorted({'torch', 'cv2', 'prefect', 'kornia', 'distributed'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
