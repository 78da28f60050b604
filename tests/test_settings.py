"""Layers, misspelt keys, fingerprints."""

import re
from pathlib import Path

import pytest

from resight.errors import SettingsError
from resight.match.kinds.lightglue import BUNDLED
from resight.settings import Settings, load_settings, parse_assignments, settings_from
from resight.settings.choice import OFFICIAL
from resight.settings.init import init_workspace
from resight.weights.store import WeightStore


def test_layers_arguments_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "resight.toml").write_text(
        "[extract]\nmax_keypoints = 100\ncontrast_threshold = 0.02\n[rank]\ntop_k = 7\n"
    )
    environ = {"RESIGHT_EXTRACT__MAX_KEYPOINTS": "200", "RESIGHT_RANK__TOP_K": "8"}
    assert load_settings(tmp_path, environ={}).extract.max_keypoints == 100
    assert load_settings(tmp_path, environ=environ).extract.max_keypoints == 200
    top = load_settings(tmp_path, parse_assignments(["extract.max_keypoints=300"]), environ)
    assert (top.extract.max_keypoints, top.extract.contrast_threshold, top.rank.top_k) == (300, 0.02, 8)


def test_another_kind_drops_the_options_of_the_old_kind(tmp_path: Path) -> None:
    (tmp_path / "resight.toml").write_text('[extract]\nkind = "sift"\nroot = false\n')
    settings = load_settings(tmp_path, {"extract.kind": "orb"}, {})
    assert settings.extract.kind == "orb"
    assert not hasattr(settings.extract, "root")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[extract]\nmax_keypoint = 5\n", "did you mean 'extract.max_keypoints'?"),
        ("[extrakt]\nkind = 'sift'\n", "did you mean 'extract'?"),
        ("[extract]\nkind = 'sfit'\n", "'sift'"),
        ("[rank]\ntop_k = 'many'\n", "rank.top_k"),
        ("[rank\n", "not valid TOML"),
    ],
)
def test_a_wrong_setting_stops_and_says_what_is_meant(tmp_path: Path, text: str, hint: str) -> None:
    (tmp_path / "resight.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, environ={})
    assert hint in str(caught.value)


def test_a_misspelt_environment_variable_is_refused_and_foreign_ones_are_not() -> None:
    with pytest.raises(SettingsError, match=r"extract\.max_keypoints"):
        load_settings(None, environ={"RESIGHT_EXTRACT__MAX_KEYPIONTS": "5"})
    assert load_settings(None, environ={"RESIGHT_WEIGHTS": "/w", "RESIGHT_SHARED": "/s", "PATH": "/bin"}) == Settings()


def test_a_matcher_that_cannot_read_the_descriptors_is_refused_before_anything_runs() -> None:
    with pytest.raises(SettingsError, match="does not read sift descriptors"):
        settings_from(
            {"extract": {"kind": "sift"}, "match": {"kind": "lightglue", "weights": "xfeat_lighterglue_3layer"}}
        )


def test_fingerprints_change_with_settings_revision_and_upstream_and_with_nothing_else() -> None:
    base = settings_from({"extract": {"kind": "sift"}}).extract
    assert base.fingerprint("up") == settings_from({}).extract.fingerprint("up")
    assert base.fingerprint("up") != base.fingerprint("down")
    assert base.fingerprint() != settings_from({"extract": {"max_keypoints": 1023}}).extract.fingerprint()
    newer = type("SiftParams", (type(base),), {"revision": 2})
    assert newer(**base.model_dump()).fingerprint() != base.fingerprint()


def test_the_file_that_init_writes_is_read_back_as_the_defaults_and_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    choice = init_workspace(tmp_path / "ws")
    settings = load_settings(tmp_path / "ws", environ={})
    expected = settings_from({"extract": choice.extract, "match": choice.match, "score": choice.score})
    assert settings == expected
    assert (choice.extract["kind"], choice.match["weights"]) == ("sift", BUNDLED)
    assert (
        settings.match.verify.model == "affine"
        and "come with the package" in (tmp_path / "ws" / "resight.toml").read_text()
    )


@pytest.mark.parametrize("needed", [*(needed for needed, _ in OFFICIAL), ()])
def test_every_choice_of_init_is_read_back_as_it_was_meant(needed: tuple[str, ...], tmp_path: Path) -> None:
    class Found(WeightStore):
        def available(self, name: str) -> bool:
            return name in needed

    choice = init_workspace(tmp_path / "ws", Found())
    settings = load_settings(tmp_path / "ws", environ={})
    assert settings == settings_from({"extract": choice.extract, "match": choice.match, "score": choice.score})
    assert settings.match.kind == "lightglue"
    assert settings.match.verify.model == "affine" and settings.score.name == "snorm_inliers"


def test_every_commented_line_of_the_settings_file_is_a_valid_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    init_workspace(tmp_path / "ws")
    file = tmp_path / "ws" / "resight.toml"
    text, n_uncommented = re.subn(r"(?m)^# ([a-z_]+ = )", r"\1", file.read_text())
    file.write_text(text)
    assert n_uncommented > 40
    assert load_settings(tmp_path / "ws", environ={}).model_part()["crop"] == Settings().model_part()["crop"]
