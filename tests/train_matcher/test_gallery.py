"""One command from a gallery to a model that a rebuild has judged, on animals that did not train it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from resight.cli.app import app
from resight.demo.survey import render_survey
from resight.errors import WeightsError
from resight.evaluate.animals import deal
from resight.flows import adapting, nightly, rebuild
from resight.match import bundled
from resight.match.kinds.lightglue import BUNDLED
from resight.run.models import current_model
from resight.store.runs import read_run
from resight.train.matcher import recipe as module
from resight.train.matcher.recipe import recipe_for
from resight.weights.trained_on import header_of, trained_on

SMALL = {"extract.max_keypoints": 64, "crop.head_side_px": 320, "dask.mode": "inline", "evaluate.draws": 20}
FILE = Path(bundled.__file__).parent / f"{BUNDLED}.safetensors"


@pytest.fixture
def gallery(workspace, tmp_path):
    """Five animals, each met twice, in an accepted first night."""
    made = render_survey(tmp_path / "survey", seed=5, n_individuals=5, n_new=0, gallery_encounters=2, query_encounters=0, size_px=(420, 320))  # fmt: skip
    shutil.copytree(made.folder, workspace.root / "photos", dirs_exist_ok=True)
    nightly.run_nightly(workspace.root, "2026-06-04", SMALL, quiet=True)
    return workspace


def test_weights_say_whom_they_learned_from_and_others_say_nobody(tmp_path):
    assert trained_on(FILE) == frozenset()
    file = tmp_path / "mine.safetensors"
    save_file(load_file(FILE), file, header_of(["Zoë", "Ada"]))
    assert trained_on(file) == {"Ada", "Zoë"}
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(WeightsError, match="train it again"):
        trained_on(file)


def test_animals_that_trained_the_new_weights_do_not_ask_when_a_rebuild_compares(gallery):
    names = sorted(name for name in set(_photos(gallery)) if name)
    own = gallery.models / "weights" / "mine-sift.safetensors"
    own.parent.mkdir(parents=True, exist_ok=True)
    save_file(load_file(FILE), own, header_of(names[:3]))
    chosen = SMALL | {"match.kind": "lightglue", "match.weights": "models/weights/mine-sift.safetensors"}
    result = rebuild.run_rebuild(gallery.root, "2026-06-05", chosen, quiet=True)
    asked = read_run(gallery, result["run_id"], "outcomes")
    assert set(asked["true_individual_id"].to_pylist()) == set(names[3:])
    assert any("Photos of 3 animals do not ask" in note for note in result["notes"])

    save_file(load_file(FILE), own, header_of(names))
    nobody = rebuild.run_rebuild(gallery.root, "2026-06-05", chosen, quiet=True)
    assert nobody["refused"] and not nobody["promoted"] and nobody["run_id"] is None


def test_one_command_trains_both_networks_and_lets_a_rebuild_decide(gallery, monkeypatch):
    def recipe(origin, **given):
        made = recipe_for(origin, **given)
        return replace(
            made, head_views=2, whole_views=2, rendered_animals=0, plan=replace(made.plan, batch=2, look_pairs=2)
        )

    monkeypatch.setattr(module, "APART_SHARE", 0.0)
    monkeypatch.setattr(adapting, "recipe_for", recipe)
    before = current_model(gallery)
    told = [f"--set={name}={value}" for name, value in SMALL.items()]
    command = ["train", "gallery", "-w", str(gallery.root), "--steps", "2", "--embedding-steps", "2", "--json", *told]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 5, done.output + str(done.exception)  # too few encounters to compare
    said = json.loads(done.stdout.splitlines()[-1])
    names = {name for name in _photos(gallery) if name}
    training = {name for name, part in deal(names, fewest=2).items() if part == "training"}
    for file in ("matcher", "embedding"):
        assert trained_on(gallery.root / said[file]) == training and training < names
    assert said["rebuild"]["refused"] and current_model(gallery) == before
    written = (gallery.root / said["matcher"]).stat().st_mtime_ns
    again = CliRunner().invoke(app, [*command, "--no-rebuild"])
    assert again.exit_code == 0 and (gallery.root / said["matcher"]).stat().st_mtime_ns == written, "trained once"


def _photos(workspace):
    from resight.store.runs import read_current

    return read_current(workspace, "photos")["individual_id"].to_pylist()
