"""What lies in deploy/, each piece checked by the tool that it is for; a tool that is not on this machine skips with a reason."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
UNITS = sorted((DEPLOY / "systemd").iterdir())


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return content


def test_compose_gives_each_service_what_it_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert "healthcheck" in service, name
        assert name == "database" or service["user"] == "${RESIGHT_UID:-1000}:${RESIGHT_GID:-1000}"
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"} and "healthcheck" in services[other]
    assert "PREFECT_API_URL" not in services["prefect"]["environment"], (
        "the browser would be told the containers' address"
    )
    assert services["prefect"]["environment"]["PREFECT_UI_API_URL"].endswith("http://127.0.0.1:4200/api}")
    assert services["flows"]["environment"]["PREFECT_API_URL"] == "http://prefect:4200/api"
    with_passwords = [v for s in services.values() for k, v in s.get("environment", {}).items() if "PASSWORD" in k]
    assert with_passwords == ["/run/secrets/database_password"], "in a file, never in the environment"


def test_compose_has_one_image_for_cpus_and_one_for_gpus(compose: dict[str, Any]) -> None:
    services = compose["services"]
    profiles = {name: service.get("profiles") for name, service in services.items()}
    assert profiles == {
        "database": None, "prefect": None, "scheduler": None, "worker": ["cpu"], "flows": ["cpu"], "gpu-worker": ["gpu"], "gpu-flows": ["gpu"],
    }  # fmt: skip
    for name in ("gpu-worker", "gpu-flows"):
        assert services[name]["image"] == "resight:cuda" and services[name]["build"]["args"] == {"TORCH": "cuda"}
    assert (
        services["gpu-flows"]["environment"]["RESIGHT_DEVICE"] == "cuda"
        and "GPU=1" in services["gpu-worker"]["entrypoint"]
    )
    assert services["flows"]["image"] == services["worker"]["image"] == "resight"
    for name in ("flows", "gpu-flows"):
        assert (services[name]["entrypoint"], services[name]["command"]) == (["resight"], ["serve"])


def test_compose_is_what_compose_accepts(tmp_path: Path) -> None:
    docker = tool("docker")
    if subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker has no compose here")
    env = os.environ | {"RESIGHT_DATA": str(tmp_path)}
    command = [
        docker,
        "compose",
        "-f",
        str(DEPLOY / "compose.yaml"),
        "--profile",
        "cpu",
        "--profile",
        "gpu",
        "config",
        "-q",
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_another_reader_of_compose_files_reads_the_same(compose: dict[str, Any], tmp_path: Path) -> None:
    """podman-compose, with a stand-in for podman: nothing is started."""
    reader = tool("podman-compose")
    (tmp_path / "podman").write_text("#!/bin/sh\necho 'podman version 4.9.3'\n", encoding="utf-8")
    (tmp_path / "podman").chmod(0o755)
    env = os.environ | {"RESIGHT_DATA": "/srv/resight", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [reader, "-f", str(DEPLOY / "compose.yaml"), "--profile", "cpu", "--profile", "gpu", "config"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert read.keys() == compose["services"].keys() and "/srv/resight:/data" in read["worker"]["volumes"]
    assert read["gpu-flows"]["environment"]["RESIGHT_DASK__ADDRESS"] == "tcp://scheduler:8786"


def test_every_program_that_is_started_is_there_and_takes_its_options(compose: dict[str, Any]) -> None:
    texts = {}
    for service in compose["services"].values():
        command = service.get("entrypoint", [])
        if command[:1] == ["dask"]:
            text = texts.setdefault(command[1], _help(command[1]))
            for option in (word for word in command if word.startswith("--")):
                assert option in text or option.replace("--no-", "--") in text, option


def _help(part: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dask", part, "--help"], capture_output=True, text=True, check=True
    ).stdout


def test_the_image_gets_what_it_copies_and_nothing_else() -> None:
    ignored = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    allowed = [line[1:] for line in ignored if line[0] == "!"]
    copied = []
    for line in (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY "):
            copied += line.split()[1:-1]
    assert ignored[0] == "*" and sorted(allowed) == sorted(copied)
    assert all((ROOT / name).exists() for name in copied)
    assert not any(fnmatch.fnmatch(name, pattern) for name in copied for pattern in ignored[1:] if pattern[0] != "!")


def test_the_image_runs_as_an_ordinary_user_with_the_right_torch() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER 1000:1000$", text, re.MULTILINE) and 'requirements/torch-$TORCH.txt"' in text
    for name in ("cpu", "cuda"):
        assert "torch==" in (ROOT / "requirements" / f"torch-{name}.txt").read_text(encoding="utf-8")


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run([tool("hadolint"), str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout


def test_the_server_gets_its_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a/b c@d\n", encoding="utf-8")
    prefect = tmp_path / "prefect"
    prefect.write_text('#!/bin/sh\necho "$PREFECT_API_DATABASE_CONNECTION_URL $*"\n', encoding="utf-8")
    prefect.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}", "PASSWORD_FILE": str(tmp_path / "password")}
    done = subprocess.run(["sh", str(DEPLOY / "start-server.sh")], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "postgresql+asyncpg://prefect:a%2Fb%20c%40d@database:5432/prefect",
        *["server", "start", "--host", "0.0.0.0", "--port", "4200"],
    ]


@pytest.mark.parametrize("script", ["start-server.sh", "slurm/nightly.sbatch"])
def test_scripts_are_clean(script: str) -> None:
    done = subprocess.run([tool("shellcheck"), str(DEPLOY / script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("ends_with", "device"), [(0, "cuda"), (3, "cpu")])
def test_the_slurm_script_starts_scheduler_workers_and_the_night(tmp_path: Path, ends_with: int, device: str) -> None:
    """With stand-ins for SLURM's, Dask's and our own commands that write down how they were called."""
    says = 'echo "$(basename "$0") $* device=${RESIGHT_DEVICE:-} at=${RESIGHT_DASK__ADDRESS:-}" >> "$CALLS"\n'
    scheduler = '[ "$1" = scheduler ] && echo \'{"address": "tcp://10.0.0.1:1"}\' > "$3"\n[ "$1" = scheduler ] && exec sleep 60\nexit 0\n'
    programs = {"dask": says + scheduler, "srun": says, "resight": f"{says}exit {ends_with}\n"}
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    place = tmp_path / "a workspace"
    place.mkdir()
    env = os.environ | {
        "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "WORKSPACE": str(place), "SLURM_NTASKS": "5", "DEVICE": device,
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(DEPLOY / "slurm" / "nightly.sbatch")], env=env, capture_output=True, text=True, timeout=60
    )
    calls = (tmp_path / "calls").read_text(encoding="utf-8")
    assert done.returncode == ends_with, done.stderr
    assert "srun --ntasks=4 dask worker" in calls and ("--resources GPU=1" in calls) == (device == "cuda")
    assert f"resight nightly --workspace {place} device={device} at=tcp://10.0.0.1:1" in calls
    assert list(place.iterdir()) == [], "the address is taken away"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_its_units(unit: Path, tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    for one in UNITS:
        text = one.read_text(encoding="utf-8").replace(
            "/opt/resight/bin/", "/bin/true #"
        )  # verify looks for the program
        text = re.sub(r"ExecStart=/bin/true #.*", "ExecStart=/bin/true", text)
        (tmp_path / one.name).write_text(text, encoding="utf-8")
    instance = unit.name.replace("@.", "@zakynthos.")
    (tmp_path / unit.name).rename(tmp_path / instance) if "@" in unit.name else None
    done = subprocess.run([analyze, "verify", "--man=no", str(tmp_path / instance)], capture_output=True, text=True)
    complaints = [
        line for line in done.stderr.splitlines() if str(tmp_path) in line or unit.name.partition("@")[0] in line
    ]
    assert complaints == [] and done.returncode == 0, done.stderr


def test_units_call_commands_with_options_that_exist() -> None:
    from typer.testing import CliRunner

    from resight.cli.app import app

    for unit in UNITS:
        for line in unit.read_text(encoding="utf-8").splitlines():
            words = line.removeprefix("ExecStart=/opt/resight/bin/").split()
            if line.startswith("ExecStart=") and words[0] == "resight":
                text = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200"}).stdout
                assert all(word in text for word in words if word.startswith("--")), line


def test_nights_wait_three_hours_and_who_runs_them_can_say_otherwise() -> None:
    from resight.settings import load_settings

    unit = (DEPLOY / "systemd" / "resight-nightly@.service").read_text(encoding="utf-8")
    manifest = (DEPLOY / "kubernetes" / "resight.yaml").read_text(encoding="utf-8")
    (pod,) = (d["spec"]["jobTemplate"]["spec"]["template"]["spec"] for d in yaml.safe_load_all(manifest) if d["metadata"]["name"] == "nightly")  # fmt: skip
    (night,) = pod["containers"]
    lines = [line.partition("=")[2] for line in unit.splitlines() if line.startswith(("Environment=", "ExecStart="))]
    of_unit, command = dict([lines[0].split("=")]), lines[1]
    assert unit.index("\nEnvironment=") < unit.index("\nEnvironmentFile="), "the file, read after it, counts"
    for environment in (of_unit, {row["name"]: row["value"] for row in night["env"]}):
        assert load_settings(environ=environment).wait_minutes == 180
    assert "wait_minutes" not in command and night["args"] == ["nightly"], "--set would stand above the environment"


def test_kubernetes_accepts_its_manifests() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "resight.yaml").read_text(encoding="utf-8")))
    version = kubernetes_validate.latest_version()
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)
    assert [d["kind"] for d in documents] == [
        "PersistentVolumeClaim", "Service", "NetworkPolicy", "Deployment", "Deployment", "CronJob", "CronJob",
    ]  # fmt: skip


def test_pods_run_as_nobody_in_particular_on_one_volume() -> None:
    for document in yaml.safe_load_all((DEPLOY / "kubernetes" / "resight.yaml").read_text(encoding="utf-8")):
        spec = document["spec"].get("jobTemplate", document)["spec"].get("template", {}).get("spec")
        if spec is None:
            continue
        assert spec["securityContext"]["runAsNonRoot"]
        (container,) = spec["containers"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert document["metadata"]["name"] == "scheduler" or container["volumeMounts"][0]["mountPath"] == "/data"


def test_the_conda_recipe_asks_for_what_the_project_asks_for() -> None:
    """Under the names of conda-forge; a parser of rattler-build reads it where there is one."""
    text = (DEPLOY / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    called = {"torch": "pytorch", "opencv-python-headless": "py-opencv", "pi-heif": "pillow-heif", "dask": "dask-core"}
    wanted = {"python": SpecifierSet(project["requires-python"])}
    for line in project["dependencies"]:
        requirement = Requirement(line)
        wanted[called.get(requirement.name, requirement.name)] = requirement.specifier
    asked = dict(line.split() for line in recipe["requirements"]["run"])
    assert {name: SpecifierSet(versions) for name, versions in asked.items()} == wanted
    assert recipe["context"]["version"] == project["version"] and recipe["about"]["license"] == project["license"]
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"resight = {project['scripts']['resight']}"
    rattler_build = pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
    (variant,) = rattler_build.Stage0Recipe.from_yaml(text).render(rattler_build.VariantConfig())
    assert len(variant.recipe.requirements.run) == len(wanted)


def test_an_index_that_refuses_its_first_page_answers() -> None:
    spec = importlib.util.spec_from_file_location("try_install", ROOT / "tools" / "try_install.py")
    assert spec and spec.loader
    try_install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(try_install)
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    address = f"http://127.0.0.1:{server.server_port}/whl/cpu"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    assert all(try_install.answers(f"{address}?{code}") for code in (200, 403, 404))
    server.shutdown()
    server.server_close()
    assert not try_install.answers(address) and not try_install.answers("") and not try_install.answers("no address")


class Refusing(BaseHTTPRequestHandler):
    """Answers with the code that the address ends with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("?")[2]))
        self.end_headers()

    def log_message(self, *_: object) -> None: ...
