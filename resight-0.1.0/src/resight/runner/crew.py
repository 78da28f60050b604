"""The workers that blocks may go to: those that have been checked and are there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
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
        self._token = leave_token(needs.store, needs.alone) if needs.store else None
        self._own = introduce(needs, self._token)
        self._members: dict[str, str] = {}  # which start of a worker it was, by address
        self._refused: dict[str, str] = {}
        self._present: frozenset[str] = frozenset()
        self._looked = float("-inf")
        self._somebody = time.monotonic()
        self._told = self._begun = False

    def close(self) -> None:
        """Take the token away; where that fails, the next run takes it away."""
        if self._token:
            with suppress(OSError):
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
        there = self._starts()
        if self._members and not self._address:
            self._members |= there  # ours, started instead of one that died, on the same machine
        self._members, self._refused = _still(self._members, there), _still(self._refused, there)
        self._check({a: start for a, start in there.items() if a not in self._members and a not in self._refused})
        self._present, self._looked = frozenset(there.keys() & self._members.keys()), now
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

    def _starts(self) -> dict[str, str]:
        """What tells the starts of a worker apart, by address: one that was put right may listen where it did before.

        Dask makes a folder under a random name for each start; its ids are the addresses, or what an operator called them.
        """
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return {address: str(worker["local_directory"]) for address, worker in workers.items()}

    def differences(self) -> dict[str, list[str]]:
        """What each worker that is there has otherwise, in words; nothing for those that may work."""
        there = self._starts()
        return self._differences(there) if there else {}

    def _differences(self, addresses: Iterable[str]) -> dict[str, list[str]]:
        ask = {"workers": sorted(addresses), "on_error": "return"}
        answers = self._client.run(introduce, self._needs, self._token, **ask)
        return {address: differences(self._own, said, self._token) for address, said in answers.items()}

    def _check(self, newcomers: dict[str, str]) -> None:
        if not newcomers:
            return
        answers = self._differences(newcomers)
        refused = {address: told for address, told in answers.items() if told}
        gone = set(refused) - set(self._client.ncores()) if refused else set()
        for address in sorted(set(refused) - gone):
            sentence = refusal(address, refused[address])
            if not self._begun:
                raise ForeignWorker(sentence)
            log.warning("%s The other workers go on without it.", sentence)
            self._refused[address] = newcomers[address]
        self._members |= {address: newcomers[address] for address in answers if address not in refused}
        self._begun = self._begun or bool(self._members)

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


def _still(workers: dict[str, str], there: dict[str, str]) -> dict[str, str]:
    """Those that are there and were not started again since."""
    return {address: start for address, start in workers.items() if there.get(address) == start}
