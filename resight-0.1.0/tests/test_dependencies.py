"""The locks, the bill of materials made from them, the licences of what Resight needs, and the check of advisories."""

import hashlib
import importlib
import json
import re
import socket
import sys
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tools():
    """The modules in tools/ by name."""
    sys.path.insert(0, str(ROOT / "tools"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def pins(tools):
    return tools("pins")


def _required(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return [Requirement(line) for lines in groups for line in lines if not line.startswith("resight[")]


@pytest.mark.parametrize(
    ("lock", "extras"), [("RUNTIME", ["analysis", "s3"]), ("DEVELOPMENT", ["analysis", "docs", "dev"])]
)
def test_a_lock_has_everything_that_the_project_requires_in_a_version_that_fits(pins, lock, extras):
    locked = {pin.name: pin for path in (getattr(pins, lock), pins.TORCH_CPU) for pin in pins.read(path)}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    for requirement in [*_required(*extras), *map(Requirement, build)]:
        pin = locked.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement} is in no lock; run make lock"
        assert requirement.specifier.contains(pin.version), f"{requirement} and {pin.version}; run make lock"


def test_the_image_has_the_versions_that_are_tested(pins):
    tested = {pin.name: pin for pin in pins.read(pins.DEVELOPMENT)}
    shipped = pins.read(pins.RUNTIME)
    # async-timeout is for Python before 3.11.3, which the packages of the documentation do not run on.
    different = [pin.name for pin in shipped if pin.name != "async-timeout" and tested[pin.name].version != pin.version]
    assert len(shipped) > 100 and not different


def test_torch_on_linux_is_a_cpu_build_with_a_digest_that_is_listed(pins):
    listed = {line.split()[0] for line in (pins.LOCKS / "torch-cpu.sha256").read_text().splitlines()}
    cpu, other = pins.read(pins.TORCH_CPU)
    assert cpu.version == f"{other.version}+cpu" and set(cpu.digests) == listed and not listed & set(other.digests)
    assert 'sys_platform == "linux"' in cpu.marker and 'sys_platform != "linux"' in other.marker
    assert not [pin.name for pin in pins.read(pins.RUNTIME) if re.match("nvidia|cuda|triton|torch", pin.name)]


def test_a_lock_without_a_digest_is_refused(pins, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("rich==15.0.0 \\\n    --hash=sha256:" + "0" * 64 + "\nzarr==3.1.6\n")
    with pytest.raises(ValueError, match=r"zarr==3.1.6.*no digest"):
        pins.read(lock)


def test_the_bill_of_materials_names_what_is_locked_and_the_weights(tools, pins, tmp_path, monkeypatch):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    file = tmp_path / "sbom.cdx.json"
    monkeypatch.setattr(sys, "argv", ["sbom.py", str(file)])
    assert tools("sbom").main() == 0
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read_text()) is None
    bill = json.loads(file.read_text())
    components = {(entry["name"], entry.get("version")): entry for entry in bill["components"]}
    packages = {key: entry for key, entry in components.items() if entry["type"] == "library"}
    for path in (pins.RUNTIME, pins.DEVELOPMENT, pins.TORCH_CPU, pins.TORCH_CUDA):
        for pin in pins.read(path):
            component = packages[pin.name, pin.version]
            assert {entry["content"] for entry in component["hashes"]} == set(pin.digests)
            assert component.get("licenses") or component["properties"]
    scopes = {name: component["scope"] for (name, _), component in packages.items()}
    assert scopes["rich"] == "required" and scopes["ruff"] == "excluded" and scopes["triton"] == "optional"
    weights_files = {file.stem: file for file in (ROOT / "src").rglob("*.safetensors")}
    assert len(weights_files) >= 2
    for name, file in weights_files.items():
        weights = components[name, None]
        assert weights["hashes"][0]["content"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert weights["licenses"] and any("ask the authors" in entry["value"] for entry in weights["properties"])
    direct = next(entry for entry in bill["dependencies"] if entry["ref"] == "resight")["dependsOn"]
    assert {canonicalize_name(requirement.name) for requirement in _required()} <= {
        re.split("[/@]", ref)[1] for ref in direct if "@" in ref
    }


def test_what_resight_needs_may_be_used_and_passed_on_by_anybody(tools, pins):
    licences = tools("licences")
    stated = {
        pin.name: licences.licence_of(pin.name) for path in (pins.RUNTIME, pins.TORCH_CPU) for pin in pins.read(path)
    }
    installed = {name: licence for name, licence in stated.items() if licence}
    assert len(installed) > 100
    others = {name: licence for name, licence in installed.items() if not licences.is_permissive(licence)}
    assert others.keys() == licences.EXCEPTIONS.keys(), others


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND MIT", True),
        ("MPL-2.0 OR MIT", True),
        ("Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("GPL-3.0-only", False),
        ("LicenseRef-Proprietary", False),
        ("no licence at all, really", False),
    ],
)
def test_which_licences_are_permissive(tools, expression, permissive):
    assert tools("licences").is_permissive(expression) is permissive


def _advisory(name: str, **affected) -> dict:
    package = {"ecosystem": "PyPI", "name": name}
    return {"id": f"TEST-{name}", "modified": "2026-11-01T00:00:00Z", "affected": [{"package": package, **affected}]}


def _between(introduced: str, **end: str) -> dict:
    return {
        "ranges": [
            {
                "type": "ECOSYSTEM",
                "events": [{"introduced": introduced}, dict(end)] if end else [{"introduced": introduced}],
            }
        ]
    }


@pytest.fixture
def lock(tmp_path) -> Path:
    digest = f" --hash=sha256:{'0' * 64}\n"
    file = tmp_path / "lock.txt"
    file.write_text(f"rich==15.0.0{digest}torch==2.13.0+cpu{digest}zarr==3.1.6{digest}")
    return file


def _write_list(file: Path, *advisories: dict) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for number, entry in enumerate(advisories):
            archive.writestr(f"{number}.json", json.dumps(entry))
    return file


@pytest.mark.parametrize(
    ("affected", "speaks"),
    [
        ({"versions": ["14.0.0", "15.0"]}, True),
        ({"versions": ["14.0.0"]}, False),
        (_between("0", fixed="15.0.1"), True),
        (_between("0", fixed="15.0.0"), False),
        (_between("15.0.1"), False),
        (_between("14", last_affected="15.0.0"), True),
        (_between("14", last_affected="14.9"), False),
    ],
)
def test_a_list_on_disk_speaks_of_the_pinned_version_or_not(tools, lock, tmp_path, capsys, affected, speaks):
    offline = _write_list(tmp_path / "all.zip", _advisory("Rich", **affected), _advisory("other", versions=["1"]))
    code = tools("advisories").main(["--list", str(offline), "--locks", str(lock)])
    out = capsys.readouterr().out
    assert code == int(speaks) and ("rich 15.0.0: TEST-Rich" in out) is speaks
    assert f"{int(speaks)} of 3 pinned versions" in out and "2 advisories, the newest of 2026-11-01" in out


def test_an_advisory_about_a_public_version_speaks_of_its_builds_and_a_withdrawn_one_of_nothing(
    tools, lock, tmp_path, capsys
):
    withdrawn = _advisory("zarr", versions=["3.1.6"]) | {"withdrawn": "2026-11-02T00:00:00Z"}
    offline = _write_list(tmp_path / "all.zip", _advisory("torch", versions=["2.13.0"]), withdrawn)
    assert tools("advisories").main(["--list", str(offline), "--locks", str(lock)]) == 1
    assert capsys.readouterr().out.startswith("torch 2.13.0+cpu: TEST-torch\n1 of 3")


@pytest.mark.parametrize(
    "content", [None, b"", b"no archive", {}, [1], {"id": "A"}, _advisory("rich") | {"affected": [{"package": 3}]}]
)
def test_a_list_that_cannot_be_read_is_refused(tools, lock, tmp_path, capsys, content):
    offline = tmp_path / "all.zip"
    if isinstance(content, bytes):
        offline.write_bytes(content)
    elif content is not None:
        _write_list(offline, content)
    assert tools("advisories").main(["--list", str(offline), "--locks", str(lock)]) == 2
    out = capsys.readouterr()
    assert not out.out and out.err.startswith("Not checked: ") and str(offline) in out.err and out.err.count("\n") == 1


def test_a_cut_off_list_is_refused(tools, lock, tmp_path):
    whole = _write_list(tmp_path / "whole.zip", *(_advisory(f"p{number}", versions=["1"]) for number in range(50)))
    cut = tmp_path / "all.zip"
    cut.write_bytes(whole.read_bytes()[:-200])
    assert tools("advisories").main(["--list", str(cut), "--locks", str(lock)]) == 2


def test_without_a_network_it_says_that_it_could_not_check(tools, lock, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # closed when it is asked
    assert tools("advisories").main(["--osv", f"http://127.0.0.1:{port}/", "--locks", str(lock)]) == 3
    out = capsys.readouterr()
    assert not out.out and "did not answer" in out.err and "LIST=all.zip" in out.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"results": [{}, {"vulns": [{"id": "TEST-1"}]}, {}]}, 1),
        ({"results": [{}, {}, {}]}, 0),
        ({"results": [{}]}, 3),
        ({"message": "no"}, 3),
        ("<html>a login page</html>", 3),
    ],
)
def test_a_server_is_asked_for_public_versions_and_half_an_answer_is_none(tools, lock, capsys, answer, code):
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode() if isinstance(answer, dict) else answer.encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert (
            tools("advisories").main(["--osv", f"http://127.0.0.1:{server.server_port}/", "--locks", str(lock)]) == code
        )
        thread.join()
    assert [query["version"] for query in asked[0]["queries"]] == ["15.0.0", "2.13.0", "3.1.6"]
    assert ("torch 2.13.0+cpu: TEST-1" in capsys.readouterr().out) is (code == 1)
