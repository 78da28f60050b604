"""What users install: the wheel holds the mapped folders and their data, and its modules are found on a Dask worker."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder, target in (
        ("src/resight", "resight"),
        ("flows", "resight/flows"),
        ("tasks", "resight/tasks"),
        ("catalog", "resight/catalog"),
    ):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"{target}/{file.relative_to(ROOT / folder).as_posix()}" in inside


def test_the_installed_wheel_runs_on_a_worker(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import resight, resight.flows.nightly, resight.catalog\n"
        "assert resight.__file__.startswith(sys.argv[1]) and resight.catalog.__file__.startswith(sys.argv[1])\n"
        "from resight.runner.runner import Runner\n"
        "from resight.runner.params import DaskParams\n"
        "from resight.catalog import table\n"
        "if __name__ == '__main__':\n"
        "    with Runner(DaskParams(workers=1), quiet=True) as runner:\n"
        "        done, failures = runner.run('look', table, ['photos', 'pairs'])\n"
        "    assert not failures and [t.name for _, t in done] == ['photos', 'pairs']\n"
        "    print('fine')\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    out = subprocess.run(
        [sys.executable, str(script), str(site)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(site)},
        check=False,
    )
    assert out.stdout.strip() == "fine", out.stderr[-2000:]
