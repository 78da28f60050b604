"""Layers, misspelt keys, fingerprints."""

import re
from pathlib import Path

import pytest

from resight.errors import SettingsError
from resight.match.kinds.lightglue import BUNDLED
from resight.match.params import VerifyParams
from resight.plugins.params import Params
from resight.settings import Settings, known_keys, load_settings, parse_assignments, settings_from
from resight.settings.choice import OFFICIAL
from resight.settings.init import init_workspace
from resight.settings.kinds import KINDS
from resight.settings.removed import REMOVED, say_once
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


def test_a_group_within_that_is_given_in_part_keeps_the_rest_of_what_is_usual_there(tmp_path: Path) -> None:
    (tmp_path / "resight.toml").write_text('[match]\nkind = "lightglue"\n[match.verify]\nthreshold_px = 7\n')
    usual = settings_from({"match": {"kind": "lightglue"}}).match.verify
    assert usual.model == "none" != VerifyParams().model
    given = load_settings(tmp_path, environ={}).match.verify
    assert given == usual.model_copy(update={"threshold_px": 7.0})
    above = load_settings(tmp_path, parse_assignments(["match.verify.min_confidence=0.2"]), {}).match.verify
    assert above == usual.model_copy(update={"threshold_px": 7.0, "min_confidence": 0.2})
    with pytest.raises(SettingsError, match=r"threshold_px"):
        settings_from({"match": {"kind": "lightglue", "verify": {"treshold_px": 7}}})


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


def test_the_file_that_init_writes_is_read_back_as_the_defaults_and_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    choice = init_workspace(tmp_path / "ws")
    settings = load_settings(tmp_path / "ws", environ={})
    assert settings == settings_from(choice.sections)
    assert settings.embed.enabled == "auto"
    assert (choice.extract["kind"], choice.match["weights"]) == ("sift", BUNDLED)
    assert (
        settings.match.verify.model == "affine-graded"
        and "come with the package" in (tmp_path / "ws" / "resight.toml").read_text()
    )


@pytest.mark.parametrize("needed", [*(needed for needed, _ in OFFICIAL), ()])
def test_every_choice_of_init_is_read_back_as_it_was_meant(needed: tuple[str, ...], tmp_path: Path) -> None:
    class Found(WeightStore):
        def available(self, name: str) -> bool:
            return name in needed

    choice = init_workspace(tmp_path / "ws", Found())
    settings = load_settings(tmp_path / "ws", environ={})
    assert settings == settings_from(choice.sections)
    assert settings.match.kind == "lightglue"
    # Matches are graded, and a name asks for more, where that was measured: with the bundled matcher.
    measured = ("affine", 0.85) if needed else ("affine-graded", 0.925)
    assert (settings.match.verify.model, settings.novelty.decide_known) == measured
    assert settings.score.name == "snorm_inliers"


def test_every_line_of_the_settings_file_is_a_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    init_workspace(tmp_path / "ws")
    file = tmp_path / "ws" / "resight.toml"
    as_written = load_settings(tmp_path / "ws", environ={})
    for_all, for_experts = file.read_text().split("# For experts")
    lines: dict[str, str] = {}
    for part in (for_all, for_experts.replace("# Section [", "[")):
        section = ""
        for line in part.splitlines():
            header, setting = re.match(r"\[([a-z.]+)\]", line), re.match(r"(?:# )?([a-z_]+) = (\S.*?)(?:  # |$)", line)
            section = header[1] + "." if header else section
            if setting:
                assert section + setting[1] not in lines
                lines[section + setting[1]] = setting[2]
    assert len(lines) > 75
    text = "\n".join(f"{name} = {value}" for name, value in lines.items())
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "resight.toml").write_text(text)
    assert load_settings(tmp_path / "all", environ={}) == as_written
    assert "pad_fraction" not in for_all and "decide_known" in for_all


def test_settings_that_are_gone_stop_nobody_and_are_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    say_once.cache_clear()
    (tmp_path / "resight.toml").write_text(
        "[extract]\nedge_threshold = 10\nmax_keypoints = 100\n[match.verify]\niterations = 50\nthreshold_px = 7\n"
    )
    for _ in range(2):
        settings = load_settings(tmp_path, environ={"RESIGHT_DASK__WINDOW_PER_WORKER": "2"})
    assert settings.extract.max_keypoints == 100 and settings.match.verify.threshold_px == 7
    assert len(caplog.messages) == 3
    (changed,) = [sentence for sentence in caplog.messages if "nothing changes" not in sentence]
    assert (
        "'match.verify.iterations' is not a setting any more; 50 is ignored: at most 2000 samples are tried" in changed
    )


def test_what_was_stored_is_mentioned_only_if_it_was_changed() -> None:
    said: list[str] = []
    stored = {"report": {"thumbnail_px": 360}, "segment": {"kind": "head-finder", "wide_sides_px": [96, 192, 384]}}
    assert settings_from(stored, stored=True, say=said.append).segment.kind == "head-finder"
    assert said == []
    settings_from({"match": {"kind": "lightglue", "n_layers": 5}}, "run 7", stored=True, say=said.append)
    assert len(said) == 1 and said[0].startswith("run 7: 'match.n_layers' is not a setting any more; 5 is ignored")


def test_nothing_that_is_gone_is_a_setting_now() -> None:
    assert not set(REMOVED) & set(known_keys())
    assert len(known_keys()) < 145  # a dozen of them say whom to tell, and where to publish


def test_sections_say_what_they_affect() -> None:
    settings = settings_from({"pairs": {"viewpoint": "any", "block_seconds": 3}, "dask": {"workers": 7}})
    assert set(settings.model_part()) == Settings.sections_affecting("model")
    assert settings.model_part()["pairs"] == {"viewpoint": "any"}
    assert Settings.sections_affecting("run") == {"encounter", "evaluate", "novelty", "pairs"}
    changed = {"encounter": [2, {}], "novelty": [2, {}]}  # their defaults have changed
    quick = settings_from({"pairs": {"viewpoint": "any"}, "ingest": {"min_side_px": 80}})
    assert settings.run_part(measuring=False) == quick.run_part(measuring=False) == changed
    measured = settings_from({"pairs": {"must_agree": ["site"]}, "evaluate": {"seed": 1}, "device": "cuda"})
    assert measured.run_part(measuring=True) == changed | {
        "pairs": [1, {"must_agree": ["site"]}], "evaluate": [1, {"seed": 1}], "device": "cuda"
    }  # fmt: skip
    assert measured.run_part(measuring=False).keys() == {"encounter", "novelty", "pairs", "device"}


def test_every_setting_has_a_description() -> None:
    groups = [group for registry in KINDS.values() for group in registry.built_in.values()]
    groups += [type(value) for _, value in Settings() if isinstance(value, Params)]
    missing = [
        f"{group.__name__}.{name}"
        for group in groups
        for name, field in group.model_fields.items()
        if not field.description and name != "kind" and not isinstance(field.default, Params)
    ]
    assert missing == []


def test_who_reviews_is_no_setting(tmp_path: Path) -> None:
    names = {"RESIGHT_REVIEWER": "Ana", "RESIGHT_REVIEW_PASSWORD": "sea grass and sand"}
    assert load_settings(tmp_path, environ=names) == load_settings(tmp_path, environ={})
