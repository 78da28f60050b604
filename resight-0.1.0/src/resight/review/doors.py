"""Who may come in: this machine's browser with the token of the address, or named reviewers with a password.

Every request must name one of our addresses as its host (a page elsewhere that points its own name here does not). What changes
something must come from our own page: its ``Origin`` is ours and it brings the secret of its session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field

COOKIE = "resight_review"
SESSION_HOURS = 16
TRIES, TRIES_SECONDS = 10, 60.0  # wrong passwords from one address for one name
TRIES_OF_ALL = 200  # in the same time, from everywhere: a password takes 30 ms of a processor to check
CODE_SECONDS = 60.0
SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Session:
    """A reviewer's visit.

    Attributes:
        by: Name of the reviewer.
        secret: What forms must bring.
        until: When it ends, by the monotonic clock.
    """

    by: str
    secret: str
    until: float


@dataclass
class Doors:
    """Sessions, and who gets one.

    Attributes:
        hosts: What the header ``Host`` may say.
        token: Opens a session for ``by``; None where reviewers log in.
        by: The reviewer on this machine.
        reviewers: Names that may log in.
        salt, password: Of the reviewers' password.
    """

    hosts: Collection[str]
    token: str | None = None
    by: str = ""
    reviewers: Collection[str] = ()
    salt: bytes = b""
    password: bytes = b""
    _sessions: dict[str, Session] = field(default_factory=dict)
    _tries: list[tuple[float, tuple[str, str]]] = field(default_factory=list)
    _codes: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def for_this_machine(cls, hosts: Collection[str], by: str) -> Doors:
        """One reviewer, who gets in by a secret address."""
        return cls(hosts, token=secrets.token_urlsafe(32), by=by)

    @classmethod
    def for_a_team(cls, hosts: Collection[str], reviewers: Collection[str], password: str) -> Doors:
        """Named reviewers with one password."""
        salt = secrets.token_bytes(16)
        return cls(hosts, reviewers=tuple(reviewers), salt=salt, password=_digest(password, salt))

    def is_our_host(self, host: str | None) -> bool:
        """Whether a request is meant for us."""
        if host is None:
            return False
        return (host if ":" in host else f"{host}:80").casefold() in self.hosts  # browsers leave port 80 out

    def is_our_origin(self, origin: str | None) -> bool:
        """Whether a request comes from one of our pages."""
        return origin is not None and origin.startswith("http://") and self.is_our_host(origin.removeprefix("http://"))

    @property
    def cookie(self) -> str:
        """Name of the cookie: browsers give it to every port of the machine, so each review has its own."""
        return f"{COOKIE}_{min(self.hosts).rpartition(':')[2]}"

    def by_token(self, token: str) -> str | None:
        """The cookie of a new session, if the token is right."""
        if self.token is None or not hmac.compare_digest(token.encode(), self.token.encode()):
            return None
        return self._open(self.by)

    def one_time_code(self) -> str:
        """Opens one session, once and soon, in the place of the token: other users of this machine see what a browser is started with."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._codes[code] = time.monotonic() + CODE_SECONDS
        return code

    def by_code(self, code: str) -> str | None:
        """The cookie of a new session, if the code is one that nobody has used."""
        with self._lock:
            until = self._codes.pop(code, 0.0)
        return self._open(self.by) if until > time.monotonic() else None

    def by_password(self, name: str, password: str, client: str = "") -> str | None:
        """The cookie of a new session, if name and password are right and there were not too many wrong ones.

        Whoever guesses is held up alone: wrong passwords count for the address ``client`` and the name that they come with.
        """
        if self.token is not None:
            return None
        mine = time.monotonic(), (client, name if name in self.reviewers else "")
        with self._lock:
            self._tries = [t for t in self._tries if mine[0] - t[0] < TRIES_SECONDS]
            if len(self._tries) >= TRIES_OF_ALL or sum(who == mine[1] for _, who in self._tries) >= TRIES:
                return None
            self._tries.append(mine)
        right = hmac.compare_digest(_digest(password[:1000], self.salt), self.password)
        if not right or name not in self.reviewers:
            return None
        with self._lock, suppress(ValueError):
            self._tries.remove(mine)
        return self._open(name)

    def session(self, cookie: str | None) -> Session | None:
        """The session of a cookie, if it is one and has not ended."""
        session = self._sessions.get(cookie or "")
        return session if session is not None and session.until > time.monotonic() else None

    def _open(self, by: str) -> str:
        cookie = secrets.token_urlsafe(32)
        until = time.monotonic() + 3600 * SESSION_HOURS
        self._sessions[cookie] = Session(by, secrets.token_urlsafe(32), until)
        return cookie


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=SCRYPT["n"], r=SCRYPT["r"], p=SCRYPT["p"])
