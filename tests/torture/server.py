"""A process that has imported everything and forks for each command, so that a command of a small night takes a second.

It is started with the library of `faults.c` in ``LD_PRELOAD``, reads a JSON object per line and answers with one.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.metadata
import io
import json
import os
import signal
import sys
import time
import traceback
import warnings
from typing import Any

library = ctypes.CDLL(None)
started: dict[int, float] = {}


def command(request: dict[str, Any]) -> None:
    """In the child: run the command as the shell does, and leave."""
    os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(f"{request['output']}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, number)
    sys.stdin, sys.stdout, sys.stderr = (
        io.StringIO(),
        os.fdopen(1, "w", closefd=False),
        os.fdopen(2, "w", closefd=False),
    )
    trace = os.open(request["trace"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) if request.get("trace") else -1
    sys.argv = ["resight", *request["arguments"]]
    code = 0
    main = importlib.import_module("resight.cli.app").main
    fault = request.get("fault") or [0, 0, 0, 0]
    if hasattr(library, "faults_plan"):
        library.faults_plan(os.fsencode(request["folder"]), *fault, trace)
        if request.get("journal"):
            file, attic = request["journal"]
            library.faults_journal(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), os.fsencode(attic))
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    if hasattr(library, "faults_plan"):
        library.faults_plan(b"", 0, 0, 0, 0, -1)
    if request.get("modules"):
        with open(request["modules"], "w", encoding="utf-8") as file:
            json.dump(sorted(sys.modules), file)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Begin a command; its process number."""
    child = os.fork()
    if not child:
        command(request)
    started[child] = time.monotonic()
    return {"process": child}


def wait(request: dict[str, Any]) -> dict[str, Any]:
    """Wait for a command, and end it where it takes too long."""
    child, end = request["process"], started.pop(request["process"]) + request["seconds"]
    while not (ended := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.wait4(child, 0)
            return {"code": None, "memory": 0, "cpu": 0.0}
        time.sleep(0.005)
    cpu = ended[2].ru_utime + ended[2].ru_stime
    return {"code": os.waitstatus_to_exitcode(ended[1]), "memory": ended[2].ru_maxrss * 1024, "cpu": cpu}


def remember_versions() -> None:
    """Looking up the versions of packages, from their files outside of any workspace, takes a tenth of a small night."""
    importlib.metadata.version = functools.cache(importlib.metadata.version)
    for name in importlib.import_module("resight.run.run").PACKAGES:
        importlib.metadata.version(name)


def load(request: dict[str, Any]) -> dict[str, Any]:
    """Import what a command has imported, without having run any."""
    with open(request["modules"], encoding="utf-8") as file:
        names = json.load(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()
    return {"modules": len(sys.modules)}


def serve() -> None:
    """Answer until the pipe closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    remember_versions()
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"start": start, "wait": wait, "load": load}[request["do"]](request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
