"""Finding, checking, loading and fetching weights."""

import hashlib
import io
import json
import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from resight.errors import WeightsError
from resight.weights import registry as registry_module
from resight.weights.listing import fetch, list_weights, verify
from resight.weights.loading import strict_load
from resight.weights.registry import WEIGHTS, KnownFile, KnownWeights
from resight.weights.store import WeightStore

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}
ADDRESS = "https://example.org/toy.safetensors"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("RESIGHT_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "resight" / "weights"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def toy_bytes(tmp_path: Path) -> bytes:
    save_file(TENSORS, tmp_path / "source.safetensors")
    return (tmp_path / "source.safetensors").read_bytes()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, toy_bytes: bytes) -> None:
    """Entries ``toy`` (digest known) and ``fresh`` (none on record)."""
    known = KnownFile("toy.safetensors", hashlib.sha256(toy_bytes).hexdigest(), (ADDRESS,))
    unknown = KnownFile("fresh.safetensors", None, ("https://example.org/fresh.safetensors",))
    monkeypatch.setitem(WEIGHTS, "toy", KnownWeights("toy", "Toy", "MIT", (known,)))
    monkeypatch.setitem(WEIGHTS, "fresh", KnownWeights("fresh", "Toy", "MIT", (unknown,)))


def serve(monkeypatch: pytest.MonkeyPatch, answers: dict[str, bytes]) -> list[str]:
    """Let ``urlopen`` give these bytes; returns the addresses asked for."""
    asked: list[str] = []

    class Response(io.BytesIO):
        headers: dict[str, str]

    def urlopen(request: Any, timeout: float) -> Response:
        asked.append(request.full_url)
        if request.full_url not in answers:
            raise urllib.error.URLError("no internet")
        response = Response(answers[request.full_url])
        response.headers = {"Content-Length": str(len(answers[request.full_url]))}
        return response

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_folders_are_searched_in_order(
    toy: None, cache: Path, tmp_path: Path, toy_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "set", tmp_path / "env one", tmp_path / "env two", cache]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / "toy.safetensors").write_bytes(toy_bytes)
    monkeypatch.setenv("RESIGHT_WEIGHTS", f"{folders[1]}:{folders[2]}")
    store = WeightStore(str(folders[0]), allow_download=False)
    for folder in folders:
        found = store.find("toy")
        assert found.path == folder / "toy.safetensors"
        assert found.licence == "MIT"
        found.path.unlink()
    assert not store.available("toy")


def test_a_missing_file_names_what_where_from_and_where_to(toy: None, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        WeightStore(str(tmp_path / "mine"), allow_download=False).find("toy")
    message = str(caught.value)
    for part in ("toy.safetensors", ADDRESS, str(tmp_path / "mine"), "allow_download"):
        assert part in message
    assert message.count(". ") == 0


def test_a_wrong_digest_names_both_and_the_cure(toy: None, cache: Path) -> None:
    (cache / "toy.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError) as caught:
        WeightStore().find("toy")
    message = str(caught.value)
    assert sha256(cache / "toy.safetensors") in message
    assert WEIGHTS["toy"].files[0].sha256 in message  # type: ignore[operator]
    assert "delete the file" in message
    assert not WeightStore().available("toy")


def test_a_file_that_changes_is_hashed_again(toy: None, cache: Path, toy_bytes: bytes) -> None:
    (cache / "toy.safetensors").write_bytes(toy_bytes)
    assert WeightStore().available("toy")
    (cache / "toy.safetensors").write_bytes(toy_bytes + b" ")
    assert not WeightStore().available("toy")


def test_without_a_record_the_first_digest_counts(toy: None, cache: Path, toy_bytes: bytes) -> None:
    file = cache / "fresh.safetensors"
    file.write_bytes(toy_bytes)
    assert WeightStore().available("fresh")
    assert not (cache / "digests.json").exists()  # asking does not decide
    assert WeightStore().find("fresh").sha256 == sha256(file)
    assert json.loads((cache / "digests.json").read_text()) == {"fresh.safetensors": sha256(file)}
    file.write_bytes(b"another one")
    with pytest.raises(WeightsError, match=r"when it was first used.*digests\.json"):
        WeightStore().find("fresh")


def test_a_path_is_taken_as_it_is_and_known_by_its_digest(
    toy: None, cache: Path, tmp_path: Path, toy_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "my weights.safetensors"
    own.write_bytes(toy_bytes)
    assert WeightStore().find(str(own)).licence == ""
    monkeypatch.setattr(registry_module, "_ALL", (WEIGHTS["toy"],))
    found = WeightStore().find(str(own))
    assert (found.name, found.path, found.licence) == (str(own), own, "MIT")
    assert WeightStore(str(tmp_path)).find("my weights.safetensors").path == own
    with pytest.raises(WeightsError, match=r"gone\.pth is missing"):
        WeightStore().find("gone.pth")


def test_an_unknown_name_gets_the_nearest_one(cache: Path) -> None:
    with pytest.raises(WeightsError, match="did you mean 'aliked-n16'"):
        WeightStore().find("aliked-n61")
    assert not WeightStore().available("aliked-n61")
    assert not WeightStore().available("")


def test_fetching_checks_the_bytes_and_leaves_no_halves(
    toy: None, cache: Path, toy_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(monkeypatch, {ADDRESS: toy_bytes})
    found = WeightStore().find("toy")
    assert found.path == cache / "toy.safetensors"
    assert found.path.read_bytes() == toy_bytes
    WeightStore().find("toy")
    assert asked == [ADDRESS]
    found.path.unlink()
    serve(monkeypatch, {ADDRESS: b"an error page"})
    with pytest.raises(WeightsError, match="the bytes have the SHA-256"):
        WeightStore().find("toy")
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_without_internet_the_message_says_where_to_copy_the_file(
    toy: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, {})
    with pytest.raises(WeightsError, match="no internet") as caught:
        WeightStore().find("toy")
    assert str(cache) in str(caught.value)


def test_nothing_is_fetched_unasked(toy: None, cache: Path, toy_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, {ADDRESS: toy_bytes})
    offline = WeightStore(allow_download=False)
    with pytest.raises(WeightsError):
        offline.find("toy")
    assert asked == []
    assert fetch(offline, "toy").path.exists()  # whoever says fetch means it
    with pytest.raises(WeightsError, match="never fetched"):
        fetch(WeightStore(), "superpoint")
    with pytest.raises(WeightsError, match="to fetch"):
        fetch(WeightStore(), "toi")


def test_list_and_verify(toy: None, cache: Path, toy_bytes: bytes) -> None:
    def row(rows: list, name: str) -> Any:
        return next(one for one in rows if one.name == name)

    assert row(list_weights(WeightStore()), "toy").status == "missing"
    (cache / "toy.safetensors").write_bytes(toy_bytes)
    (cache / "fresh.safetensors").write_bytes(toy_bytes)
    assert row(list_weights(WeightStore()), "toy").status == "found"
    checked = verify(WeightStore())
    assert row(checked, "toy").status == "right"
    assert row(checked, "fresh").status == "no record"
    (cache / "toy.safetensors").write_bytes(b"x")
    assert row(verify(WeightStore()), "toy").status == "wrong digest"
    superpoint = row(checked, "superpoint")
    assert (superpoint.commercial, superpoint.address) == (False, "")


def test_registry_entries_are_complete() -> None:
    for entry in WEIGHTS.values():
        assert entry.licence and entry.loads_into and entry.files
        assert any(file.addresses for file in entry.files) or entry.how_to_get
        for file in entry.files:
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))
            assert all(address.startswith("https://") for address in file.addresses)


@pytest.mark.parametrize("nest", [(), ("state_dict",), ("extractor",), ("model", "state_dict")])
def test_nested_torch_files_give_the_inner_tensors(nest: tuple[str, ...], cache: Path, tmp_path: Path) -> None:
    content: Any = dict(TENSORS)
    for key in reversed(nest):
        content = {"epoch": 7, key: content}
    torch.save(content, tmp_path / "w.pth")
    state = WeightStore().state_dict(str(tmp_path / "w.pth"))
    assert state.keys() == TENSORS.keys()
    assert torch.equal(state["a.weight"], TENSORS["a.weight"])


def test_an_entry_with_a_prefix_gives_its_part(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = KnownFile("both.pt", None)
    monkeypatch.setitem(WEIGHTS, "part", KnownWeights("part", "Toy", "MIT", (file,), prefix="matcher."))
    torch.save({"matcher.a": torch.ones(1), "extractor.model.net.b": torch.ones(2)}, cache / "both.pt")
    assert WeightStore().state_dict("part").keys() == {"a"}


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("evil-was-here"),))


def test_a_file_that_needs_unpickling_is_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(1), "code": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(WeightsError, match="could run code"):
            WeightStore().state_dict(str(tmp_path / name))
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize("name", ["half.safetensors", "half.pth"])
def test_damaged_files_get_one_sentence(name: str, cache: Path, tmp_path: Path, toy_bytes: bytes) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(TENSORS, whole)
    data = toy_bytes if name.endswith("tensors") else whole.read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="fetch it again"):
        WeightStore().state_dict(str(tmp_path / name))


def test_a_file_without_tensors_is_refused(cache: Path, tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no tensors"):
        WeightStore().state_dict(str(tmp_path / "w.pth"))


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def test_strict_load_fills_what_fits() -> None:
    torch.manual_seed(1)
    source, target = network(), network()
    state = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    strict_load(target, state)
    assert torch.equal(target[0].weight, source[0].weight)  # type: ignore[index]


def test_strict_load_names_what_does_not_fit() -> None:
    state = dict(network().state_dict())
    for broken, words in [
        ({k: v for k, v in state.items() if k != "0.bias"}, "lacks 0.bias"),
        (state | {"extra": torch.ones(1)}, "unknown tensors extra"),
        (state | {"0.weight": torch.ones(2, 4)}, r"0\.weight \(2x4 instead of 2x3\)"),
    ]:
        with pytest.raises(WeightsError, match=words):
            strict_load(network(), broken, name="toy.pth")


def test_strict_load_lets_named_tensors_be_missing() -> None:
    state = {k: v for k, v in network().state_dict().items() if not k.startswith("1.")}
    strict_load(network(), state, ("1.*",))
    with pytest.raises(WeightsError, match=r"lacks 0\.bias, 1\.bias, .* and 1 more"):
        strict_load(network(), {k: v for k, v in state.items() if k != "0.bias"}, ("nothing",), "toy")


def test_real_files_are_the_registered_ones(shared_weights: Path, cache: Path) -> None:
    store = WeightStore(str(shared_weights), allow_download=False)
    rows = {row.name: row.status for row in verify(store)}
    for name in ("xfeat", "xfeat_lighterglue_3layer", "aliked-t16", "aliked-n16", "aliked-n16rot", "aliked-n32"):
        assert rows[name] == "right"
    assert store.find("aliked-n32").licence == "BSD-3-Clause"
    assert store.state_dict("xfeat")["block1.0.layer.0.weight"].shape == (4, 1, 3, 3)


def test_the_wrong_network_is_refused(shared_weights: Path, cache: Path) -> None:
    from resight.extract.kinds.aliked import AlikedParams

    params = AlikedParams(variant="aliked-n32", weights="aliked-n16")
    with pytest.raises(WeightsError, match="aliked-n16 does not fit ALIKED"):
        params.build(WeightStore(str(shared_weights), allow_download=False))
