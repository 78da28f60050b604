"""`resight review` as people start it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(workspace: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of the review of a workspace, and its process, which is killed in the end."""
    command = [sys.executable, "-m", "resight.cli.app", "review", "-w", str(workspace), "--port", "0", "--by", "Ana"]
    process = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "400"})  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the address is the first line"
        yield found[0], process
    finally:
        process.kill()
        process.wait()
