"""Commands as real processes, with slow work, that tests stop in the middle."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

SENTENCE = "Stopped. Run the same command again; it does only what is missing."
# Every Python process below imports this by itself: the command, its workers, and flow runs that Prefect starts.
SLOW = textwrap.dedent(
    """
    import importlib.util, pathlib, signal, sys, time
    NAME = "resight.extract.block"
    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name != NAME:
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(NAME)
            load = spec.loader.exec_module
            def exec_module(module):
                load(module)
                original = module.read_crop
                def slow(*arguments, **named):
                    pathlib.Path({mark!r}).touch()
                    {work}
                    return original(*arguments, **named)
                module.read_crop = slow
            spec.loader.exec_module = exec_module
            return spec
    sys.meta_path.insert(0, Slow())
    """
)
# Ctrl-C is ignored where tests run in the background.
MAIN = """import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
from resight.cli.app import main; main()"""
SLEEP = "time.sleep(60)"
OPENCV = "import cv2, numpy; cv2.fastNlMeansDenoising(numpy.zeros((3000, 3000), numpy.uint8), None, 3, 21, 35)"
TORCH = "import torch; torch.linalg.svd(torch.rand(5000, 5000))"


@dataclass
class Command:
    """A command under way in a session of its own, and everything that it has started."""

    process: subprocess.Popen[str]
    folder: Path
    seconds: float = 0.0
    seconds_to_last: float = 0.0

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            print(self.output())
            for process in self.family():
                process.kill()

    def wait_for_work(self) -> None:
        """Until its slow work has begun."""
        wait_for((self.folder / "began").exists, self.process)

    def output(self) -> str:
        """What it has printed so far."""
        return (self.folder / "output").read_text(encoding="utf-8")

    def listening(self) -> dict[str, str]:
        """Addresses that its processes listen on, and one of them each."""
        return {
            socket.laddr.ip: " ".join(process.cmdline())
            for process in self.family()
            for socket in process.net_connections(kind="inet")
            if socket.status == psutil.CONN_LISTEN
        }

    def family(self) -> list[psutil.Process]:
        """The command's process and all below it."""
        main = psutil.Process(self.process.pid)
        return [main, *main.children(recursive=True)]

    def send(self, signum: int, group: bool) -> None:
        """Send a signal to the process, or to its group as a terminal does."""
        (os.killpg if group else os.kill)(self.process.pid, signum)

    def stop(self, signum: int, group: bool = False) -> tuple[int, str, list[str]]:
        """Send a signal; the exit code, what was printed, and the processes that are still there 5 s after the end."""
        family = self.family()
        begun = time.monotonic()
        self.send(signum, group)
        code = self.process.wait(60)
        self.seconds = time.monotonic() - begun
        while (left := [p for p in family if runs(p)]) and time.monotonic() < begun + self.seconds + 5:
            time.sleep(0.05)
        self.seconds_to_last = time.monotonic() - begun
        names = [" ".join(process.cmdline()) for process in left]
        for process in left:
            process.kill()
        return code, self.output(), names

    def state(self) -> str:
        """The state of the newest flow run in the server's database."""
        with sqlite3.connect(self.folder / "prefect.db") as database:
            query = "select state_type from flow_run order by created desc limit 1"
            return str(database.execute(query).fetchone()[0])


def own_prefect(folder: Path) -> dict[str, str]:
    """Environment in which Prefect keeps everything in ``folder``, its database as ``prefect.db``."""
    return {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder}/prefect.db",
    }


def start(
    folder: Path, arguments: list[str], work: str = SLEEP, *, database: Path | None = None, **environment: str
) -> Command:
    """Start ``resight`` with slow work; a server of its own begins with a copy of ``database``."""
    folder.mkdir()
    if database is not None:
        shutil.copyfile(database, folder / "prefect.db")
    mark = folder / "began"
    (folder / "sitecustomize.py").write_text(SLOW.format(mark=str(mark), work=work), encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {
        **own_prefect(folder),
        "PYTHONPATH": str(folder),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    with (folder / "output").open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments],
            stdout=output, stderr=output, env=env | environment, text=True, start_new_session=True,
        )  # fmt: skip
    return Command(process, folder)


def runs(process: psutil.Process) -> bool:
    """Whether a process is still there; one that has ended and that nobody has counted yet is not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # whoever adopted it may count it later
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None, seconds: float = 150) -> None:
    """Wait until something is so; the process must live on until then."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "the command ended before it could be stopped"
        assert time.monotonic() < end, "the work did not begin in time"
        time.sleep(0.05)


SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
