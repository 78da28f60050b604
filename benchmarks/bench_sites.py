"""Several sites on one Prefect server, night by night: does a run of one site ever touch the files of another?

    python benchmarks/bench_sites.py --folder /tmp/sites                 # two sites, ten nights each: some minutes

The nights of bench_year.py (drawn photos, kills, an inbox that is not mounted, nights that nobody starts, an update that is
accepted and one that is refused, a person who decides), but every night, measurement and rebuild is a flow run of a deployment
that `resight deploy` has made, started on a real `prefect server` and run by a real `prefect worker`. Sites take turns, so after
each run the files of every other site are compared by mode, size and time of change, and in the middle of the nights `resight deploy` is
run again, as after a change of the file with the sites.

It leaves ``sites.jsonl`` in the folder, a line per flow run, and ends with 1 at the first file that another site's run has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil
from bench_year import Site, files_of
from year_plan import Night, plan_year

FLOWS = ("nightly", "accuracy", "rebuild")
WAIT_S, ASK_EVERY_S = 900.0, 0.5
STOP_S = 20.0
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "RESIGHT_WEIGHTS": "",
}


class ServedSite(Site):
    """A site whose commands are flow runs of its deployments."""

    def __init__(self, folder: Path, name: str, seed: int, served: Served) -> None:
        super().__init__(folder, name, seed, folder / "sites.jsonl")
        self.served = served

    def nightly(self, night: Night) -> None:
        if night.killed_after_s:
            self._flow_run(night, "nightly", night.killed_after_s)
        self._flow_run(night, "nightly")

    def run(self, night: Night, hour: int, *arguments: str) -> None:
        if arguments[0] in FLOWS:
            self._flow_run(night, arguments[0])
        elif arguments[0] == "prune":
            super().run(night, hour, *arguments)

    def write_down(self, night: Night, hour: int, arguments: Sequence[str], ended: Any) -> None:
        if ended.code:
            raise SystemExit(f"resight {' '.join(arguments)} of {self.name} ended with {ended.code}: {ended.said}")

    def _flow_run(self, night: Night, flow: str, kill_after_s: float = 0.0) -> None:
        row = {
            "site": self.name,
            "night": str(night.day),
            "flow": flow,
            "trouble": night.trouble,
            "killed": bool(kill_after_s),
        }
        row |= self.served.run(flow, self.name, str(night.day), kill_after_s)
        with self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{row['night']}  {self.name}  {flow:8}  {row['state']}", flush=True)


class Served:
    """A Prefect server that runs, with the deployments of all sites and a worker."""

    def __init__(self, folder: Path, address: str, sites: Mapping[str, Path]) -> None:
        self.folder, self.address, self.file = folder, address, folder / "sites.toml"
        tables = (f'[sites.{name}]\nworkspace = "{root}"\n' for name, root in sites.items())
        self.file.write_text('[schedule]\nnightly = ""\naccuracy = ""\n' + "".join(tables), encoding="utf-8")
        self.env = os.environ | QUIET | {"PREFECT_API_URL": address, "PREFECT_HOME": str(folder / "prefect")}
        self.deployments: dict[str, Any] = {}
        self.deploy()

    def deploy(self) -> None:
        """`resight deploy`; a second time it must find what it made the first time."""
        command = [str(Path(sys.executable).with_name("resight")), "deploy", str(self.file), "--json"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        with self._client() as client:
            found = {d.name: d.id for d in client.read_deployments()}
        if self.deployments and found != self.deployments:
            raise SystemExit(f"resight deploy has replaced deployments: {self.deployments} became {found}.")
        self.deployments = found

    def run(self, flow: str, site: str, night: str, kill_after_s: float) -> dict[str, Any]:
        """Start a deployment's flow run and wait for its end.

        Raises:
            SystemExit: It has not ended in time.
        """
        begun = time.perf_counter()
        with self._client() as client:
            name = f"{flow}-{site}"
            made = client.create_flow_run_from_deployment(self.deployments[name], parameters={"night": night})
            while time.perf_counter() - begun < WAIT_S:
                now = client.read_flow_run(made.id)
                if now.state and now.state.is_final():
                    said = {"state": now.state.name, "said": str(now.state.message)[:300], "name": now.name}
                    return said | {"seconds": round(time.perf_counter() - begun, 1)}
                if kill_after_s and now.state and now.state.is_running() and now.infrastructure_pid:
                    _kill(int(str(now.infrastructure_pid).rpartition(":")[2]), kill_after_s)
                    kill_after_s = 0.0
                time.sleep(ASK_EVERY_S)
        raise SystemExit(f"{name} of {night} has not ended after {WAIT_S:.0f} s; see {self.folder}/worker.log.")

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: self.address}), get_client(sync_client=True) as client:
            yield client


def _kill(process: int, after_s: float) -> None:
    """Kill a flow run's process when it has used so many seconds of CPU time from now on."""
    with suppress(psutil.NoSuchProcess):
        running = psutil.Process(process)
        until = sum(running.cpu_times()[:2]) + after_s
        while sum(running.cpu_times()[:2]) < until:
            time.sleep(0.01)
        running.kill()


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """`prefect server start` with a database in the folder; gives the address of its API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home, address = folder / "prefect", f"http://127.0.0.1:{port}/api"
    env = QUIET | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home}/prefect.db",
    }
    home.mkdir()
    command = ["server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running_prefect(command, folder / "server.log", env) as process:
        until = time.monotonic() + 180
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"The Prefect server did not start; see {folder}/server.log.")
            time.sleep(ASK_EVERY_S)
        yield address


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def running_prefect(arguments: Sequence[str], log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A `prefect` command that runs until the block ends."""
    with log.open("wb") as out:
        command = [sys.executable, "-m", "prefect", *arguments]
        process = subprocess.Popen(command, env=os.environ | dict(env), stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_nights(sites: Sequence[ServedSite], n_nights: int, per_night: float, seed: int) -> int:
    """All nights of all sites by turns.

    Returns:
        How many times a file was compared.

    Raises:
        SystemExit: A run of one site has changed a file of another one.
    """
    begin, compared = date.today() - timedelta(days=n_nights), 0
    plans = [plan_year(begin, n_nights, per_night, seed + k) for k in range(len(sites))]
    for site in sites:
        site.begin(begin)
    for k in range(n_nights):
        if k == n_nights // 2:
            sites[0].served.deploy()
        for site, plan in zip(sites, plans, strict=True):
            before = {other.name: files_of(other.place.root) for other in sites if other is not site}
            site.night(plan[k])
            for other in sites:
                if other is not site and files_of(other.place.root) != before[other.name]:
                    raise SystemExit(f"The night {plan[k].day} of {site.name} has changed files of {other.name}.")
            compared += sum(len(files) for files in before.values())
    return compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where workspaces, server and lines go; must be empty"
    )
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--per-night", type=float, default=1.5, help="encounters of a night in the mean over the year")
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    folder = given.folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        parser.error(f"{given.folder} is not empty; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= QUIET | {"XDG_CACHE_HOME": str(folder / "no cache"), "COLUMNS": "200"}
    names = [f"site-{k + 1}" for k in range(given.sites)]
    with prefect_server(folder) as address:
        served = Served(folder, address, {name: folder / name for name in names})
        with running_prefect(["worker", "start", "--pool", "resight"], folder / "worker.log", served.env):
            sites = [ServedSite(folder, name, given.seed + k, served) for k, name in enumerate(names)]
            compared = run_nights(sites, given.nights, given.per_night, given.seed)
    rows = [json.loads(line) for line in (folder / "sites.jsonl").read_text(encoding="utf-8").splitlines()]
    for (site, flow, state), n in sorted(Counter((r["site"], r["flow"], r["state"]) for r in rows).items()):
        print(f"{site}  {flow:8}  {state:10} {n:3}")
    print(f"{len(rows)} flow runs; {compared:,} times a file of another site was compared, and none was changed.")


if __name__ == "__main__":
    main()
