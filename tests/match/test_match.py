"""The stage: nothing twice, nothing lost, the same bytes however it is cut."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resight.environment import Environment
from resight.errors import BrokenCountError, SettingsError, WeightsError
from resight.match import work as work_module
from resight.match.blocks import MatcherSpec, load_matcher
from resight.match.kinds.nearest import NearestMatcher, NearestParams
from resight.match.summary import summarise
from resight.match.work import CropTable, cut, matcher_spec, read_rate, write_rate
from resight.run.setups import match_setup
from resight.runner.params import DaskParams
from resight.runner.runner import Failure, Runner
from resight.settings import Settings, settings_from
from resight.store.tables import conform
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

NameOf = Callable[[Settings], str]
PlanOf = Callable[..., pa.Table]
ALL = list(product(["q0", "q1", "q2"], ["g0", "g1", "g2", "g3"]))


def by_pair(pairs: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["query_crop_id"], row["gallery_crop_id"]): row for row in pairs.to_pylist()}


@pytest.fixture
def folder(workspace: Workspace, name_of: NameOf) -> Path:
    """Where results of the default settings lie."""
    return workspace.stage_dir("match", name_of(Settings()))


def test_every_planned_row_is_scored_as_if_alone(run: Any, survey: Any, plan_of: PlanOf) -> None:
    result = run(plan_of(ALL))
    assert result.n_matched == 12
    assert [(r["query_crop_id"], r["gallery_crop_id"]) for r in result.pairs.to_pylist()] == ALL
    matcher = NearestMatcher(NearestParams())
    for (q, g), row in by_pair(result.pairs).items():
        expected = summarise(matcher.match(survey.crops[min(q, g)], survey.crops[max(q, g)]), 64)
        assert {k: row[k] for k in expected if not k.startswith("n_keypoints")} == {
            k: v for k, v in expected.items() if not k.startswith("n_keypoints")
        }
        assert (row["status"], row["reason"], row["purpose"]) == ("scored", "", "identify")
        assert (row["query_photo_id"], row["gallery_photo_id"]) == (f"photo {q}", f"photo {g}")
    sums = {pair: row["confidence_sum"] for pair, row in by_pair(result.pairs).items()}
    assert max(sums, key=sums.__getitem__) == ("q1", "g2")


def test_the_table_fits_the_catalog(run: Any, plan_of: PlanOf) -> None:
    plan = pa.concat_tables(
        [plan_of(ALL[:5]), plan_of(ALL[5:8], "excluded_by_policy", "viewpoint"), plan_of(ALL[8:], "no_features")]
    )
    table = conform("pairs", run(plan).pairs, "run")
    assert table.num_rows == 12
    by_status = {
        r["gallery_crop_id"] + r["query_crop_id"]: (r["status"], r["reason"], r["n_matches"]) for r in table.to_pylist()
    }
    assert by_status["g1q1"] == ("excluded_by_policy", "viewpoint", None)
    assert by_status["g3q2"] == ("no_features", "", None)


def test_only_planned_pairs_are_matched(run: Any, survey: Any, plan_of: PlanOf) -> None:
    result = run(plan_of(ALL, "excluded_by_policy", "same_encounter"))
    assert (result.n_matched, survey.loads) == (0, 0)
    assert set(result.pairs["status"].to_pylist()) == {"excluded_by_policy"}
    assert result.pairs["match_fingerprint"].null_count == 12
    assert run(plan_of([])).pairs.num_rows == 0


def test_nothing_is_matched_twice(run: Any, survey: Any, plan_of: PlanOf) -> None:
    first = run(plan_of(ALL))
    loads = survey.loads
    again = run(plan_of(ALL))
    assert (again.n_matched, survey.loads) == (0, loads)
    assert again.pairs.equals(first.pairs)
    more = run(plan_of([*ALL, ("q0", "q1")]))
    assert more.n_matched == 1


def test_both_directions_share_one_result(run: Any, survey: Any, plan_of: PlanOf) -> None:
    survey.crops["q0"] = replace(
        survey.crops["q0"], xy_px=survey.crops["q0"].xy_px[:40], descriptors=survey.crops["q0"].descriptors[:40]
    )
    result = run(plan_of([("q0", "g0"), ("g0", "q0")]))
    assert result.n_matched == 1
    there, back = result.pairs.to_pylist()
    assert (there["n_keypoints_query"], there["n_keypoints_gallery"]) == (40, 60)
    assert (back["n_keypoints_query"], back["n_keypoints_gallery"]) == (60, 40)
    assert there["confidence_histogram"] == back["confidence_histogram"]


@pytest.mark.parametrize("size", [1, 5])
def test_blocks_do_not_change_results(
    run: Any, plan_of: PlanOf, workspace: Workspace, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resight.match.stage.compact", lambda *_: None)  # the part of each block stays
    whole = run(plan_of(ALL)).pairs
    cut_up = settings_from({"pairs": {"max_block_pairs": size}})
    other = Workspace(workspace.root / "other")
    assert (
        run(plan_of(ALL[::-1]), cut_up, where=other)
        .pairs.sort_by([("query_crop_id", "ascending"), ("gallery_crop_id", "ascending")])
        .equals(whole)
    )
    assert len(list(other.root.rglob("*.parquet"))) == -(-12 // size)


def test_a_broken_crop_fails_its_pairs_and_no_others(run: Any, survey: Any, plan_of: PlanOf) -> None:
    survey.broken = {"g1"}
    result = run(plan_of(ALL))
    assert result.n_matched == 9
    for (_, g), row in by_pair(result.pairs).items():
        assert row["status"] == ("failed" if g == "g1" else "scored")
        assert (row["n_matches"] is None) == (g == "g1")
        if g == "g1":
            assert row["reason"] == "OSError: row 1 of store/extract/x.zarr cannot be read"
    survey.broken = set()
    healed = run(plan_of(ALL))
    assert healed.n_matched == 3, "failed pairs are tried again, the others are not"
    assert set(healed.pairs["status"].to_pylist()) == {"scored"}


def test_a_lost_block_fails_its_pairs(run: Any, plan_of: PlanOf) -> None:
    lost: list[Any] = []

    class Losing(Runner):
        def run(self, label: str, function: Any, blocks: Any, **options: Any) -> Any:
            if not lost:
                lost.append(blocks[0])
                return [], [Failure(blocks[0], "KilledWorker: out of memory")]
            return super().run(label, function, blocks, **options)

    settings = settings_from({"pairs": {"max_block_pairs": 4}})
    result = run(plan_of(ALL), settings, Losing(DaskParams(mode="inline"), quiet=True))
    rows = result.pairs.to_pylist()
    failed = [r for r in rows if r["status"] == "failed"]
    assert len(failed) == len(lost[0]) == 4
    assert {r["reason"] for r in failed} == {"KilledWorker: out of memory"}
    assert result.n_matched == 12 - len(failed)


def test_a_result_that_vanishes_is_noticed(run: Any, plan_of: PlanOf) -> None:
    class Forgetful(Runner):
        def run(self, *args: Any, **options: Any) -> Any:
            super().run(*args, **options)
            return [], []

    with pytest.raises(BrokenCountError, match="12 of 12 planned pairs have no result and no reason"):
        run(plan_of(ALL), runner=Forgetful(DaskParams(mode="inline"), quiet=True))


def test_crops_without_features_stop_the_run(run: Any, plan_of: PlanOf) -> None:
    with pytest.raises(BrokenCountError, match=r"1 planned crops have no features, e\.g\. \['q9'\]"):
        run(plan_of([("q9", "g0")]))


def test_a_matcher_that_does_not_fit_stops_the_run(run: Any, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise SettingsError("does not fit")

    monkeypatch.setattr(NearestMatcher, "match", refuse)
    with pytest.raises(SettingsError, match="does not fit"):
        run(plan_of(ALL))


def test_a_killed_run_is_continued(run: Any, survey: Any, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = work_module.match_block
    calls = []

    def killed(block: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(block)
        return whole(block)

    monkeypatch.setattr(work_module, "match_block", killed)
    settings = settings_from({"pairs": {"max_block_pairs": 3}})
    with pytest.raises(KeyboardInterrupt):
        run(plan_of(ALL), settings)
    monkeypatch.setattr(work_module, "match_block", whole)
    assert run(plan_of(ALL), settings).n_matched == 12 - sum(map(len, calls))


def test_parts_are_equal_byte_by_byte(run: Any, plan_of: PlanOf, workspace: Workspace) -> None:
    other = Workspace(workspace.root / "other")
    for where in (workspace, other):
        run(plan_of(ALL), where=where)

    def contents(where: Workspace) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (where.store / "match").rglob("*.parquet")}

    assert contents(workspace) == contents(other) != {}


def test_blocks_share_crops(survey: Any, store: WeightStore) -> None:
    """100 queries against 300 gallery crops: a block of 1024 pairs touches some tiles, not all crops."""
    from resight.match.cache import CropCodes

    ids = [f"{'q' if i < 100 else 'g'}{i:03}" for i in range(400)]
    features = pa.table({"crop_id": ids, "store": ["s"] * 400, "store_row": pa.array(range(400), pa.int32())})
    codes = CropCodes.of(pa.array(ids))
    q, g = codes.encode(pa.array(ids[:100])), codes.encode(pa.array(ids[100:]))
    pairs = codes.pairs(np.repeat(q, 300), np.tile(g, 100))
    rng = np.random.default_rng(0)
    ordered = CropTable.of(codes, features, pairs).by_tile(rng.permutation(pairs))
    np.testing.assert_array_equal(np.sort(ordered), np.sort(pairs))
    for block in np.array_split(ordered, 30):
        assert np.unique(np.concatenate(codes.unpack(block))).size < 150


@pytest.mark.parametrize(
    ("n", "rate", "workers", "blocks"),
    [
        (100, 0.0, 4, [13, 12]),  # nobody knows the rate: something for each worker
        (100, 100.0, 4, [100]),  # one second of work is not worth sending
        (9000, 100.0, 1, [4500]),  # a lone worker: equal blocks of 45 s at most
        (1000, 100.0, 4, [125, 109, 100]),  # 10 s: half of each worker's share at first, not less than a second
        (90_000, 100.0, 2, [4500]),  # 900 s: blocks of 45 s
        (3, 0.001, 1, [1]),  # never more blocks than pairs
    ],
)
def test_size_of_blocks(n: int, rate: float, workers: int, blocks: list[int]) -> None:
    pairs = np.arange(n)
    got = cut(pairs, rate, match_setup(Settings()), workers)
    np.testing.assert_array_equal(np.concatenate(got), pairs)
    sizes = list(dict.fromkeys(map(len, got)))
    assert sizes[: len(blocks)] == blocks
    assert min(map(len, got)) >= 1 and max(map(len, got)) == max(blocks)


@pytest.mark.parametrize("workers", [2, 8])
def test_the_last_blocks_are_small(workers: int) -> None:
    """Whatever the order in which workers come free, they end within the length of a small block of each other."""
    got = list(map(len, cut(np.arange(100_000), 100.0, match_setup(Settings()), workers)))
    assert sorted(got, reverse=True) == got and got[-1] <= 100
    busy = np.zeros(workers)
    for size in got:
        busy[busy.argmin()] += size / 100.0
    assert busy.max() - busy.min() <= 1.0
    assert busy.max() <= 1.01 * busy.mean()


def test_the_rate_is_remembered(run: Any, plan_of: PlanOf, folder: Path) -> None:
    assert read_rate(folder) == 0.0
    run(plan_of(ALL))
    assert read_rate(folder) > 0
    write_rate(folder, 12.3456)
    assert read_rate(folder) == 12.346


def test_a_matcher_is_built_once_per_worker(env: Environment) -> None:
    spec, same = (matcher_spec(env, match_setup(Settings())) for _ in range(2))
    other = matcher_spec(env, match_setup(settings_from({"match": {"ratio": 0.5}})))
    assert load_matcher(spec) is load_matcher(same)
    assert load_matcher(spec) is not load_matcher(other)


def test_a_worker_with_other_weights_is_noticed(tmp_path: Any, store: WeightStore) -> None:
    path = tmp_path / "xfeat.safetensors"
    path.write_bytes(b"other")
    spec = MatcherSpec(NearestParams(), "xfeat", "cpu", store, ((str(path), "0" * 64),))
    with pytest.raises(WeightsError, match="is not the file that the run started with"):
        load_matcher(spec)


def test_parts_open_without_resight(run: Any, plan_of: PlanOf, workspace: Workspace) -> None:
    run(plan_of(ALL))
    parts = list((workspace.store / "match").rglob("*.parquet"))
    row = pq.read_table(parts[0]).to_pylist()[0]
    assert row["crop_id_a"] < row["crop_id_b"]
    assert sum(row["confidence_histogram"]) == row["n_matches"]
