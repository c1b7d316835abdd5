"""Several servers behind one instance: which one a request goes to, and what to do when one fails.

The least busy one; a session goes to the same one again, since that has its prefix in its cache.
An endpoint that failed is left out until a probe of it was answered, unless all have failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from ledger.address import shown
from ledger.errors import BackendError
from workers.backends.openai.berths import Berths
from workers.backends.openai.breaker import Breaker

log = logging.getLogger(__name__)

LOOK_S = 0.02  # how often a request looks for a berth while all are taken


class Endpoint:
    """One server: its address, also as it may be shown, a client for it, and how it does."""

    def __init__(self, url: str, client: Any, berths: Berths | None = None) -> None:
        """``berths``: None where it is the only one and takes any number of requests."""
        self.url, self.client = url, client
        self.where = shown(url)
        self.breaker = Breaker()
        self._berths = berths

    def take(self, number: int) -> bool:
        """Takes its berth of this number; how many lower ones are taken says how busy it is."""
        return self._berths is None or self._berths.take(number)

    def give_back(self, number: int) -> None:
        """Gives a berth back."""
        if self._berths is not None:
            self._berths.give_back(number)

    @property
    def most(self) -> int:
        """Berths that it has."""
        return 1 if self._berths is None else self._berths.most

    async def close(self) -> None:
        """Closes its connections."""
        if self._berths is not None:
            self._berths.close()
        await self.client.close()


Probe = Callable[[Endpoint], Awaitable[BackendError | None]]


class Endpoints:
    """The servers of one instance. All methods are for the loop that their clients live in."""

    def __init__(self, endpoints: Sequence[Endpoint], probe: Probe) -> None:
        """``probe`` asks one whether it is there; it returns the error if it is not."""
        self._all, self._probe = tuple(endpoints), probe
        self._healing: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @asynccontextmanager
    async def berth(
        self, session: str | None, tried: Collection[str] = ()
    ) -> AsyncIterator[Endpoint]:
        """The endpoint for a request, which waits here while all have their most.

        Args:
            session: whose turn it is; None for a request that any may answer.
            tried: URLs of those that have failed it.
        """
        while (found := self._find(session, tried)) is None:
            await asyncio.sleep(LOOK_S)
        endpoint, number = found
        try:
            yield endpoint
        finally:
            endpoint.give_back(number)

    def preferred(self) -> Endpoint:
        """One that is well, for a question on the side."""
        return random.choice([one for one in self._all if one.breaker.closed] or self._all)

    def failed(self, endpoint: Endpoint, error: BackendError) -> None:
        """Notes that a request failed there; where that is enough, it is left out and probed."""
        if len(self) == 1:  # without it there would be none
            return
        if not endpoint.breaker.failed(lost=bool(error.facts.get("lost"))):
            return
        log.warning("%s is left out until it answers again: %s", endpoint.where, error)
        healing = asyncio.get_running_loop().create_task(self._heal(endpoint))
        self._healing.add(healing)
        healing.add_done_callback(self._healing.discard)

    async def close(self) -> None:
        """Ends the probes and closes all connections."""
        for healing in self._healing:
            healing.cancel()
        for endpoint in self._all:
            with suppress(Exception):
                await endpoint.close()

    def _find(self, session: str | None, tried: Collection[str]) -> tuple[Endpoint, int] | None:
        untried = [one for one in self._all if one.url not in tried] or list(self._all)
        well = [one for one in untried if one.breaker.closed] or untried
        if session is not None:
            home = max(well, key=lambda one: _weight(session, one.url))
            for number in range(home.most):
                if home.take(number):
                    return home, number
        well = random.sample(well, len(well))
        for number in range(max(one.most for one in well)):
            for one in well:
                if number < one.most and one.take(number):
                    return one, number
        return None

    async def _heal(self, endpoint: Endpoint) -> None:
        """Probes an endpoint until it answers, ever more seldom."""
        breaker = endpoint.breaker
        while True:
            await asyncio.sleep(breaker.pause_s)
            if breaker.closed:  # a request got through
                break
            breaker.probe()
            if await self._is_back(endpoint):
                breaker.succeeded()
                break
            breaker.probe_failed()
        log.warning("%s answers again.", endpoint.where)

    async def _is_back(self, endpoint: Endpoint) -> bool:
        try:
            return await self._probe(endpoint) is None
        except Exception:  # or it would be left out for ever
            log.exception("The probe of %s failed.", endpoint.where)
            return False


def _weight(session: str, url: str) -> bytes:
    """Rendezvous hashing, as agents are given their instances."""
    return hashlib.blake2b(f"{session}\x00{url}".encode(), digest_size=8).digest()
