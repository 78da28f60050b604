"""The results in object storage: what a reader finds there whatever happens, and that only what is missing is uploaded."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from generation_helpers import make_run, published
from typer.testing import CliRunner

from resight.bucket.objects import BucketError, Objects
from resight.bucket.params import PublishParams
from resight.bucket.publish import MANIFEST, publish_to
from resight.cli.app import app
from resight.errors import SettingsError, WorkspaceError
from resight.run.models import Model, register
from resight.run.telling import attempted
from resight.settings.init import init_workspace
from resight.store.attempts import log_lines, read_attempts
from resight.store.publication import publish_generation
from resight.store.workspace import Workspace, open_workspace

FS = fsspec.filesystem("memory")


@pytest.fixture
def address() -> Iterator[str]:
    place = f"memory://{uuid.uuid4().hex}/zakynthos"
    yield place
    FS.rm(place.removeprefix("memory:/").rpartition("/")[0], recursive=True)


@pytest.fixture
def nights(workspace: Workspace) -> Workspace:
    """A workspace after its first night."""
    make_run(workspace, "r1")
    published(workspace)
    return workspace


def second_night(place: Workspace) -> None:
    make_run(place, "r2")
    publish_generation(place, run_id="r2")


def as_reader(address: str, fs: Any = FS) -> str | None:
    """The run that a reader finds who follows the manifest; everything named there is whole and of that run."""
    root = address.partition("://")[2]
    if not fs.exists(f"{root}/current.json"):
        return None
    current = json.loads(fs.cat_file(f"{root}/current.json"))
    for name, row in current["files"].items():
        data = fs.cat_file(f"{root}/{row['path']}")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"]), name
    assert fs.cat_file(f"{root}/{current['folder']}/report.html").decode() == f"page of {current['run_id']}"
    for manifest in fs.glob(f"{root}/runs/*/manifest.json"):
        for name, row in json.loads(fs.cat_file(manifest))["files"].items():
            data = fs.cat_file(f"{manifest.rpartition('/')[0]}/{name}")
            assert hashlib.sha256(data).hexdigest() == row["sha256"], name
    return str(current["run_id"])


def test_a_reader_finds_the_night_and_only_what_is_missing_is_uploaded(nights: Workspace, address: str) -> None:
    first = publish_to(nights, address, "zakynthos")
    assert as_reader(address) == "r1"
    assert first["new_runs"] == ["r1"] and first["uploaded"] == 3  # the current files are copies within the storage
    again = publish_to(nights, address, "zakynthos")
    assert again["uploaded"] == 0 and again["new_runs"] == [] and again["current"] == first["current"]
    second_night(nights)
    second = publish_to(nights, address, "zakynthos")
    assert second["new_runs"] == ["r2"] and second["uploaded"] == 3 and as_reader(address) == "r2"
    assert not Path(nights.root / "memory:").exists()


class Failing:
    """A file system of which the operation number ``at`` fails, and all that follow."""

    def __init__(self, fs: Any, at: int) -> None:
        self._fs, self._left = fs, at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fs, name)
        if name == "invalidate_cache":
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "put" and self._left > 1:  # one operation of ours, several of the storage
                self._left -= 1
            elif name == "put" and self._left == 1:
                self._left = 0
                found([args[0][0]], [args[1][0]])
            if self._left <= 0:
                raise ConnectionError("the line is down")
            self._left -= 1
            return found(*args, **kwargs)

        return call


def test_whenever_the_line_goes_down_a_reader_finds_one_night_whole(
    nights: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to(nights, address)
    second_night(nights)
    found: set[str | None] = set()
    sentences: set[str] = set()
    n = 0
    opened = Objects.__init__
    while True:
        n += 1

        def failing(self: Objects, place: str, at: int = n) -> None:
            opened(self, place)
            self._fs = Failing(self._fs, at)

        monkeypatch.setattr(Objects, "__init__", failing)
        try:
            publish_to(nights, address)
            break
        except BucketError as error:
            sentences.add(str(error))
        finally:
            monkeypatch.setattr(Objects, "__init__", opened)
        found.add(as_reader(address))
    assert n > 10 and found == {"r1"} and as_reader(address) == "r2"
    assert all("the line is down" in sentence and "`resight publish`" in sentence for sentence in sentences)


def test_an_object_that_changed_there_is_found_and_uploaded_again(nights: Workspace, address: str) -> None:
    publish_to(nights, address)
    object_ = f"{address.partition('://')[2]}/runs/r1/runs.parquet"
    whole = FS.cat_file(object_)
    FS.pipe_file(object_, whole[:-9] + bytes(9))  # of the same size, so that only its content tells
    assert publish_to(nights, address)["uploaded"] == 0
    assert publish_to(nights, address, check=True)["uploaded"] == 1
    assert FS.cat_file(object_) == whole and as_reader(address) == "r1"


def test_a_second_workspace_does_not_replace_the_first(nights: Workspace, address: str, tmp_path: Path) -> None:
    publish_to(nights, address, "zakynthos")
    other = Workspace(tmp_path / "bonaire")
    other.root.mkdir()
    make_run(other, "r9")
    publish_generation(other, run_id="r9")
    with pytest.raises(WorkspaceError, match=r"another workspace \(zakynthos\)"):
        publish_to(other, address, "bonaire")
    assert as_reader(address) == "r1"
    publish_to(other, address, "bonaire", take_over=True)
    assert as_reader(address) == "r9"


def test_a_damaged_run_is_left_out_and_said(nights: Workspace, address: str) -> None:
    second_night(nights)
    file = nights.runs / "r1" / "provisional.parquet"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-20] + bytes(20))
    done = publish_to(nights, address)
    assert done["new_runs"] == ["r2"] and "r1" in done["damaged"][0] and as_reader(address) == "r2"
    assert (nights.runs / "r1").is_dir()


def test_what_was_current_long_ago_goes_there_and_the_runs_stay(
    nights: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resight.bucket import publish

    for n in range(2, 6):
        publish_to(nights, address)
        make_run(nights, f"r{n}")
        publish_generation(nights, run_id=f"r{n}")
    root = address.partition("://")[2]
    publish_to(nights, address)
    assert len(FS.ls(f"{root}/generations")) == 5  # all are of today
    monkeypatch.setattr(publish, "KEPT_FOR", publish.timedelta(0))
    publish_to(nights, address)
    assert len(FS.ls(f"{root}/generations")) == 3 and len(FS.ls(f"{root}/runs")) == 5 and as_reader(address) == "r5"


def test_a_night_stays_done_where_publishing_fails(
    nights: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_network(*_: object) -> None:
        raise BucketError("s3://turtles cannot be written.")

    (nights.root / "resight.toml").write_text("publish.to = 's3://turtles'\n", encoding="utf-8")
    monkeypatch.setattr("resight.bucket.publish.Objects", no_network)
    summary: dict[str, Any] = {"status": "accepted", "reason": "", "notes": []}
    with attempted(nights, "rebuild", night="2026-06-04") as tried:
        tried.result(summary)
    sentence = "The results are complete here and were not published: s3://turtles cannot be written."
    assert summary["notes"] == [sentence] and sentence in caplog.text
    assert [row["outcome"] for row in read_attempts(nights)] == ["done"]
    assert any(line.get("event") == "published" and line["failed"] for line in log_lines(nights))


def test_by_hand_and_after_a_command(nights: Workspace, address: str) -> None:
    place = ["--workspace", str(nights.root)]
    assert "publish.to" in str(CliRunner().invoke(app, ["publish", *place]).exception)
    by_hand = CliRunner().invoke(app, ["publish", *place, "--to", address, "--json"])
    assert by_hand.exit_code == 0 and json.loads(by_hand.stdout)["new_runs"] == ["r1"]
    (nights.root / "resight.toml").write_text(f"publish.to = '{address}'\n", encoding="utf-8")
    with attempted(nights, "rebuild"):
        second_night(nights)
    assert as_reader(address) == "r2"
    part = {"extract": {"kind": "orb"}, "match": {"kind": "nearest"}, "score": {"name": "ratio"}}
    register(nights, Model("0123456789abcdef", part, {}))
    assert CliRunner().invoke(app, ["models", "promote", "0123", *place]).exit_code == 0
    assert json.loads(FS.cat_file(f"{address.partition('://')[2]}/current.json"))["model"] == "0123456789abcdef"


@pytest.mark.parametrize("text", ["turtles/zakynthos", "s3://", "file:///mnt/share", "zip::s3://turtles/a.zip"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no address|rsync"):
        PublishParams(to=text)


def test_an_address_is_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for refused in (
        lambda: open_workspace("s3://turtles/zante"),
        lambda: init_workspace(Path("s3://turtles").absolute()),
    ):
        with pytest.raises(WorkspaceError, match=r"is an address, and a workspace must be a folder"):
            refused()
    for command in (["init", "gs://turtles/zante"], ["demo", "-w", "s3://turtles"], ["nightly", "-w", "s3://turtles"]):
        assert "is an address" in str(CliRunner().invoke(app, command).exception)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_driver_is_a_sentence(nights: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(
        SettingsError, match=r"publish.to = 'gs://turtles' needs a driver .* pip install 'resight\[gs\]'"
    ):
        publish_to(nights, "gs://turtles")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of moto's server, which speaks S3 on this machine."""
    pytest.importorskip("s3fs", reason="needs s3fs: pip install 'resight[s3]'")
    moto = pytest.importorskip("moto.server", reason="needs moto and flask, of the extra dev")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    fs.mkdir("turtles")
    try:
        yield "s3://turtles/zakynthos"
    finally:
        fsspec.filesystem("s3").clear_instance_cache()
        server.stop()


def test_s3_tells_what_is_whole_and_readers_of_tables_read_it(
    nights: Workspace, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    digest, read_back = Objects._digest, list[str]()
    monkeypatch.setattr(Objects, "_digest", lambda self, name: read_back.append(name) or digest(self, name))
    publish_to(nights, bucket)
    second_night(nights)
    done = publish_to(nights, bucket)
    assert done["uploaded"] == 3 and done["new_runs"] == ["r2"] and as_reader(bucket, fs) == "r2"
    assert not read_back  # S3's own MD5 was enough
    current = json.loads(fs.cat_file(f"{bucket}/current.json"))
    assert pq.read_table(f"{bucket}/{current['files']['runs.parquet']['path']}").num_rows == 1
    fs.pipe_file(f"{bucket}/runs/r2/report.html", b"page of r3")
    assert publish_to(nights, bucket, check=True)["uploaded"] == 1 and as_reader(bucket, fs) == "r2"
    with pytest.raises(BucketError, match=r"s3://no-such-bucket/x cannot be .* readers find there"):
        publish_to(nights, "s3://no-such-bucket/x")


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an emulator that speaks Google's protocol on this machine."""
    pytest.importorskip("gcsfs", reason="needs gcsfs: pip install 'resight[gs]'")
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator")
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="turtles")
    server.start()
    port = server._api._httpd.server_address[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv(
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false"
    )  # asks over gRPC, which the emulator does not speak
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "turtles")
    try:
        yield "gs://turtles/zakynthos"
    finally:
        fsspec.filesystem("gs", token="anon").clear_instance_cache()
        server.stop()


def test_google_tells_what_is_whole_and_readers_of_tables_read_it(
    nights: Workspace, google: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    digest, read_back = Objects._digest, list[str]()
    monkeypatch.setattr(Objects, "_digest", lambda self, name: read_back.append(name) or digest(self, name))
    publish_to(nights, google)
    second_night(nights)
    done = publish_to(nights, google)
    fs = fsspec.filesystem("gs", skip_instance_cache=True)
    assert done["uploaded"] == 3 and done["new_runs"] == ["r2"] and as_reader(google, fs) == "r2"
    assert not read_back  # Google's own MD5 was enough
    current = json.loads(fs.cat_file(f"{google}/current.json"))
    assert pq.read_table(f"turtles/zakynthos/{current['files']['runs.parquet']['path']}", filesystem=fs).num_rows == 1
    fs.pipe_file(f"{google}/runs/r2/report.html", b"page of r3")
    assert publish_to(nights, google, check=True)["uploaded"] == 1 and as_reader(google, fs) == "r2"
    with pytest.raises(BucketError, match=r"gs://no-such-bucket/x cannot be .* readers find there"):
        publish_to(nights, "gs://no-such-bucket/x")


def test_nobody_is_led_to_a_run_that_is_being_replaced(
    nights: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to(nights, address)
    root, run = address.partition("://")[2], nights.runs / "r1"
    file = sorted(run.glob("*.parquet"))[0]
    file.chmod(0o644)
    shutil.copyfile(sorted(run.glob("*.parquet"))[1], file)  # made again, after something had failed in it

    def cut(self: Objects, files: Any) -> None:
        assert not FS.exists(f"{root}/runs/r1/{MANIFEST}")
        raise BucketError("the line is down")

    with monkeypatch.context() as patched:
        patched.setattr(Objects, "put", cut)
        with pytest.raises(BucketError):
            publish_to(nights, address)
    publish_to(nights, address)
    assert FS.exists(f"{root}/runs/r1/{MANIFEST}")
