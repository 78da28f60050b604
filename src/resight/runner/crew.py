"""The workers that blocks may go to: those that have been checked and are there."""

from __future__ import annotations

import logging
import time
from typing import Any

from resight.errors import DeviceError
from resight.runner.handshake import ForeignWorker, Needs, differences, introduce, leave_token, refusal

log = logging.getLogger("resight")
LOOK_EVERY_S = 2.0


class NoWorkers(DeviceError):
    """A scheduler answers, but no worker has joined it."""


class Crew:
    """Workers of one cluster; whoever joins later is checked before it gets a block.

    Args:
        client: Of Dask.
        needs: What every worker must have.
        address: The scheduler's, where somebody else runs it; empty for workers of our own.
        patience_s: How long somebody else's cluster may be without a worker.
    """

    def __init__(self, client: Any, needs: Needs, address: str, patience_s: float) -> None:
        self._client, self._needs, self._address, self._patience_s = client, needs, address, patience_s
        self._token = leave_token(needs.store) if needs.store else None
        self._own = introduce(needs, self._token)
        self._members: set[str] = set()
        self._refused: set[str] = set()
        self._present: frozenset[str] = frozenset()
        self._looked = float("-inf")
        self._somebody = time.monotonic()
        self._told = False

    def close(self) -> None:
        """Take the token away."""
        if self._token:
            self._token.unlink(missing_ok=True)

    @property
    def code(self) -> str:
        """Digest of the code that blocks must be run with."""
        return self._own["code"]

    def present(self) -> frozenset[str]:
        """Addresses of the workers that may get a block now; looked up every other second.

        Raises:
            ForeignWorker: A worker differs, and no work has begun yet.
            NoWorkers: There has been nobody for too long.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S and self._present:
            return self._present
        there = set(self._client.ncores())
        if self._members and not self._address:
            self._members |= there  # ours, started instead of one that died, on the same machine
        self._check(there - self._members - self._refused)
        self._present, self._looked = frozenset(there & self._members), now
        if self._present:
            self._somebody, self._told = now, False
        elif self._address:
            self._wait(now)
        return self._present

    def wait(self) -> frozenset[str]:
        """`present` as soon as there is somebody."""
        while not (present := self.present()) and self._address:
            time.sleep(0.2)
        return present

    def _check(self, newcomers: set[str]) -> None:
        if not newcomers:
            return
        ask = {"workers": sorted(newcomers), "on_error": "return"}
        answers = self._client.run(introduce, self._needs, self._token, **ask)
        refused = {a: told for a, said in answers.items() if (told := differences(self._own, said, self._token))}
        gone = set(refused) - set(self._client.ncores()) if refused else set()
        for address in sorted(set(refused) - gone):
            sentence = refusal(address, refused[address])
            if not self._members:
                raise ForeignWorker(sentence)
            log.warning("%s The other workers go on without it.", sentence)
            self._refused.add(address)
        self._members |= set(answers) - set(refused)

    def _wait(self, now: float) -> None:
        refused = f" ({len(self._refused)} were refused)" if self._refused else ""
        if now - self._somebody > self._patience_s:
            raise NoWorkers(
                f"No Dask worker has joined the scheduler at {self._address} for {self._patience_s:.0f} s{refused}; check that workers run "
                f"(`dask worker {self._address} --nthreads 1`), that they can reach that address, and their logs, or raise "
                "dask.wait_for_workers_seconds, then run the same command again."
            )
        if not self._told:
            self._told = True
            log.warning(
                "The scheduler at %s has no worker%s; waiting up to %.0f s for one (`dask worker %s --nthreads 1`).",
                self._address, refused, self._patience_s, self._address,
            )  # fmt: skip
