"""Starting the review: an address of its own, pages ready, and the end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import uvicorn

from resight.decisions.desk import Desk
from resight.decisions.entry import clean_name
from resight.errors import SettingsError
from resight.review.app import Review
from resight.review.board import Board
from resight.review.doors import Doors
from resight.store.workspace import Workspace

LOOPBACK = "127.0.0.1"
FEWEST_CHARS = 10


@dataclass(frozen=True)
class Sharing:
    """The team's network: who may log in, with which password, and under which names this machine is reached."""

    reviewers: Sequence[str]
    password: str
    names: Sequence[str] = ()


def serve_review(
    workspace: Workspace, by: str, port: int, sharing: Sharing | None, ready: Callable[[str, str], None]
) -> None:
    """Serve until the process is told to end.

    Args:
        workspace: With at least one run.
        by: Who decides on this machine.
        port: 0 for any that is free.
        sharing: None for this machine alone.
        ready: Called once it answers, with the address for people, and one that opens it once, for starting a browser.

    Raises:
        WorkspaceError: There is no run yet.
        SettingsError: The port is taken, or the password is short.
    """
    board = Board(Desk(workspace))
    board.cards()  # says at once where there is nothing to look at
    with closing(_listening("0.0.0.0" if sharing else LOOPBACK, port)) as listening:
        number = listening.getsockname()[1]
        doors = _doors(by, number, sharing)
        review = Review(board, doors)
        review.prepare()
        there = f"http://{_own_address() if sharing else LOOPBACK}:{number}"
        if doors.token:
            ready(f"{there}/login?token={doors.token}", f"{there}/login?code={doors.one_time_code()}")
        else:
            ready(f"{there}/", f"{there}/")
        config = uvicorn.Config(review.app(), log_level="error", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


def _doors(by: str, port: int, sharing: Sharing | None) -> Doors:
    here = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
    if sharing is None:
        return Doors.for_this_machine(here, clean_name(by))
    if len(sharing.password) < FEWEST_CHARS:
        raise SettingsError(f"The password of a shared review has {FEWEST_CHARS} characters or more.")
    if not sharing.reviewers:
        raise SettingsError("Name who may review, e.g. --reviewer Ana --reviewer Ben.")
    names = {_own_address(), socket.gethostname(), *sharing.names}
    reviewers = [clean_name(name) for name in sharing.reviewers]  # as in their decisions
    return Doors.for_a_team(here | {f"{name.casefold()}:{port}" for name in names}, reviewers, sharing.password)


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Head and body of an answer leave in two writes; without this the second waits 40 ms for the first to be acknowledged.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
    except PermissionError:
        listening.close()
        raise SettingsError(f"You may not use port {port}; name one from 1024 on with --port, or 0 for any.") from None
    except OSError:
        listening.close()
        raise SettingsError(f"Port {port} is taken; name another one with --port, or 0 for any.") from None
    listening.listen(64)
    return listening


def _own_address() -> str:
    """This machine's address in its network; nothing is sent."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("10.255.255.255", 9))
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])
