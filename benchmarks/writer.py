"""The other end of the chunk measurement: a process that makes tokens, each of them the time.

It reads lines ``run|publish INSTANCE JOB_OR_CHANNEL COUNT RATE`` and answers ``done`` to each.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import redis

from ledger.messages import Event, Request
from ledger.redis_client import Ledger
from ledger.settings import load_settings
from workers.backends import Abilities, Piece, Run
from workers.backends.base import Say, unsaid
from workers.runner import Runner

BEFORE_FIRST_S = 0.1  # the reader has subscribed by then


def stamps(count: int, rate: float) -> Iterator[str]:
    """``count`` times of their own making, ns, ``rate`` per second."""
    due = time.monotonic() + BEFORE_FIRST_S
    for _ in range(count):
        time.sleep(max(0.0, due - time.monotonic()))
        yield str(time.monotonic_ns())
        due += 1 / rate


class StampBackend:
    """A model that says what time it is."""

    abilities = Abilities()

    def __init__(self, count: int, rate: float) -> None:
        self._count, self._rate = count, rate

    def load(self, say: Say = unsaid) -> None:
        """Nothing to load."""

    def stream(self, run: Run) -> Iterator[Piece]:
        """One stamp per piece."""
        for stamp in stamps(self._count, self._rate):
            yield Piece(f"{stamp} ")

    def count_tokens(self, request: Request) -> int:
        """The prompt is not counted."""
        return 0

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """It keeps nothing."""

    def health(self) -> str:
        """Always well."""
        return ""

    def close(self) -> None:
        """Nothing to give back."""


def publish(client: redis.Redis, channel: str, count: int, rate: float) -> None:
    """Bare PUBLISH, of messages as long as the ledger's own."""
    event = Event(kind="chunk", attempt=1, text=f"{time.monotonic_ns()} ", tokens=1)
    length = len(f"{count} {event.body()}")
    for stamp in stamps(count, rate):
        client.publish(channel, stamp.ljust(length))


def main(url: str) -> None:
    """Serves until its stdin ends."""
    settings = load_settings(env={"APEX_CONFIG": ""}, redis_url=url, instances=1)
    ledger, client = Ledger(url), redis.Redis.from_url(url)
    for line in sys.stdin:
        what, instance, name, count, rate = line.split()
        if what == "publish":
            publish(client, name, int(count), float(rate))
        else:
            backend = StampBackend(int(count), float(rate))
            spec = settings.instance(instance)
            runner = Runner(ledger, backend, spec, settings, owner="bench", pid=os.getpid())
            runner.run(name)
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
