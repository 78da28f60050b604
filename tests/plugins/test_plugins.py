"""Kinds of another package go the whole way, and broken ones are refused in one sentence."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from resight.demo.survey import render_survey

Run = Callable[..., subprocess.CompletedProcess[str]]
NIGHT = """
import json, sys
from pathlib import Path
from resight.flows.nightly import run_nightly
from resight.store.runs import read_current
from resight.store.workspace import Workspace

if __name__ == "__main__":
    root = Path(sys.argv[1])
    result = run_nightly(root, "2026-06-04", json.loads(sys.argv[2]), quiet=True)
    tables = {t: read_current(Workspace(root), t) for t in ("crops", "features", "pairs", "scores", "novelty")}
    pairs = [[r["n_matches"], r["n_inliers"]] for r in tables["pairs"].to_pylist()]
    print(json.dumps({
        "rows": {name: table.num_rows for name, table in tables.items()},
        "segmenters": sorted(set(tables["crops"]["segmenter"].to_pylist())),
        "scores": sorted(set(tables["scores"]["score_name"].to_pylist())),
        "halves": [round(2 * r["score"] - r["sum"], 9) for r in tables["scores"].to_pylist()],
        "pairs": pairs,
    }))
"""


@pytest.fixture(scope="module")
def night(example_plugin: Path, run_with: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict]:
    """A small night with the example's kinds."""
    folder = tmp_path_factory.mktemp("plugin night")
    render_survey(folder / "survey", n_individuals=2, n_new=0, photos_per_encounter=1, size_px=(480, 360))
    script = folder / "night.py"
    script.write_text(NIGHT, encoding="utf-8")

    def run(extract: str, match: str, score: str) -> dict:
        chosen = {
            "segment": {"kind": "example-middle"},
            "extract": {"kind": extract, "max_keypoints": 200},
            "match": {"kind": match},
            "score": {"name": score},
            "dask": {"mode": "processes", "workers": 1},
            "crop": {"head_side_px": 320},
        }
        root = folder / extract
        shutil.copytree(folder / "survey", root / "photos")
        done = run_with(example_plugin, script, root, json.dumps(chosen))
        assert done.returncode == 0, done.stderr[-3000:]
        result: dict = json.loads(done.stdout.splitlines()[-1])
        return result

    return run


def test_a_night_with_kinds_of_another_package_on_a_worker_process(night: Callable[..., dict]) -> None:
    result = night("example-bits", "example-strict", "example_half")
    assert min(result["rows"].values()) > 0
    assert result["segmenters"] == ["example-middle"] and result["scores"] == ["example_half"]
    assert set(result["halves"]) == {0.0}
    assert any(n_matches for n_matches, _ in result["pairs"])


def test_init_and_doctor_list_them_and_misspelt_keys_offer_theirs(
    example_plugin: Path, run_with: Run, tmp_path: Path
) -> None:
    workspace = tmp_path / "field"
    code = "from resight.cli import main; main()"
    done = run_with(example_plugin, "-c", code, "init", workspace)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (workspace / "resight.toml").read_text(encoding="utf-8")
    assert all(kind in text for kind in ("example-bits", "example-middle", "example-strict"))
    done = run_with(example_plugin, "-c", code, "doctor", "--workspace", workspace)
    for kind in ("example-bits", "example-middle", "example-strict", "example_half"):
        assert kind in done.stdout, done.stdout + done.stderr
    code = "from resight.settings import load_settings; load_settings(overrides={'segment.kind': 'example-middle', 'segment.midle_share': 1})"
    done = run_with(example_plugin, "-c", code)
    assert "did you mean 'segment.middle_share'?" in done.stderr


def test_the_contracts_hold_for_them(example_plugin: Path, run_with: Run) -> None:
    tests = Path(__file__).resolve().parents[1]
    contracts = ["extract/test_extractor_contract.py", "segment/test_segmenters.py", "match/test_matcher_contract.py",
                 "score/test_distribution.py", "compare/test_method_contract.py"]  # fmt: skip
    options = ["-p", "no:xdist", "-k", "example", "--rootdir", tests.parent, "-c", tests.parent / "pyproject.toml"]
    done = run_with(example_plugin, "-m", "pytest", *options, *(tests / name for name in contracts))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "passed" in done.stdout and "failed" not in done.stdout


KINDS = "from resight.plugins.registry import {registry}; print(list({registry}))"
LOAD = "from resight.settings import load_settings; load_settings()"


def test_a_package_that_cannot_be_imported_is_named_with_the_cure(package: Callable[..., Path], run_with: Run) -> None:
    folder = package("turtle-extras", "resight.extractors", "import a_module_that_is_not_there\n")
    assert run_with(folder, "-c", "import resight.settings").returncode == 0, "imports do not fail"
    error = run_with(folder, "-c", LOAD).stderr.splitlines()[-1]
    assert error.startswith(
        "resight.errors.SettingsError: The extractor 'mine' of the package turtle-extras cannot be used"
    )
    assert "ModuleNotFoundError" in error and "pip uninstall turtle-extras" in error


def test_a_thing_without_a_name_is_no_kind(package: Callable[..., Path], run_with: Run) -> None:
    folder = package("turtle-extras", "resight.scores", "class Kind: pass\n")
    error = run_with(folder, "-c", KINDS.format(registry="SCORES")).stderr.splitlines()[-1]
    assert "The score 'mine' of the package turtle-extras cannot be used" in error


def test_two_packages_with_one_name_are_refused(package: Callable[..., Path], run_with: Run) -> None:
    code = "from resight.extract.kinds.sift import SiftParams as Kind\n"
    error = run_with(package("turtle-extras", "resight.extractors", code), "-c", LOAD).stderr.splitlines()[-1]
    assert "The packages resight and turtle-extras both offer the extractor 'sift'" in error
    assert "pip uninstall turtle-extras" in error
