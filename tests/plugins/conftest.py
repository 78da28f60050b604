"""Packages beside Resight, installed into folders of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def example_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, built and installed as users do, without the network."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("plugin")
    shutil.copytree(HERE / "resight_example_plugin", source)  # building leaves files behind
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True)
    return target


@pytest.fixture(scope="session")
def run_with() -> Run:
    """Runs Python with a folder of packages on the path; errors of the command are left to the test."""

    def run(packages: Path, *arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environ = os.environ | {"PYTHONPATH": path, "RESIGHT_WEIGHTS": "", "COLUMNS": "1000"}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=timeout)

    return run


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Writes a package with one entry point into a folder of packages."""

    def make(name: str, group: str, code: str, value: str = "Kind") -> Path:
        folder, module = tmp_path / "packages", name.replace("-", "_")
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[{group}]\nmine = {module}:{value}\n", encoding="utf-8")
        return folder

    return make
