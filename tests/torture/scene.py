"""What a fault can reach."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import redis

from ledger import keys
from tests.support.hands import LISTS
from tests.torture.clock import Clock
from tests.torture.fleet import Fleet, Member
from tests.torture.plan import Plan
from tests.torture.producers import Producers
from tests.torture.recovery import Recoveries, Running
from tests.torture.server import Server

REDIS = "redis"


@dataclass
class Scene:
    """The run, for whoever torments it. ``overtaken``: jobs that lost their place to a fault."""

    plan: Plan
    server: Server
    fleet: Fleet
    producers: Producers
    clock: Clock
    recoveries: Recoveries
    random: Random
    redis: redis.Redis
    overtaken: set[str] = field(default_factory=set)
    _busy: set[str] = field(default_factory=set)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    pause: threading.Event = field(default_factory=threading.Event)  # never set: for pauses

    def member(self, name: str) -> Member:
        """An instance's worker."""
        return self.fleet.members[name]

    def lists(self, name: str) -> list[str]:
        """Celery's lists of an instance, the best first."""
        return [f"{name}{each.removeprefix('inst0')}" for each in LISTS]

    @contextmanager
    def alone(self, names: Iterable[str]) -> Iterator[str | None]:
        """One of these that no other fault is at, for the length of the block; None: all are."""
        with self._one_at_a_time:
            free = [name for name in names if name not in self._busy]
            name = self.random.choice(free) if free else None
            if name:
                self._busy.add(name)
        try:
            yield name
        finally:
            self._busy.discard(name or "")

    def running(self, names: Iterable[str]) -> list[Running]:
        """The jobs that run in a process of these instances' workers."""
        return [
            job
            for name in names
            for job in self.recoveries.running(name)
            if job.pid in self.member(name).children
        ]

    def woken(self, names: Iterable[str]) -> set[str]:
        """The jobs whose wake-ups are under way there, and may be lost."""
        return {job_id for name in names for job_id in self.redis.zrange(keys.woken(name), 0, -1)}
