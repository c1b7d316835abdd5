"""Looks at every budget level, all the time, from a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import redis

from ledger import keys

LEVELS = f"{keys.PREFIX}budget:*"
FIELDS = ("limit", "used", "held")
LOOK_FOR_LEVELS_S = 2.0
BETWEEN_S = 0.01
MOST_SAID = 20

_processes = multiprocessing.get_context("spawn")


@dataclass
class Samples:
    """What was seen: how often, and what must not be."""

    looks: int = 0
    levels: int = 0
    wrong: list[str] = field(default_factory=list)


class Sampler:
    """``with Sampler(url) as sampler: …``; then ``sampler.samples``."""

    def __init__(self, url: str) -> None:
        self._ours, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_look, args=(url, theirs), daemon=True)
        self.samples = Samples()

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ours.send("enough")
        self.samples = self._ours.recv()
        self._process.join()


def _look(url: str, pipe: Any) -> None:
    samples = Samples()
    watch = _Watch(samples)
    with redis.Redis.from_url(url, decode_responses=True, socket_timeout=30) as client:
        while not pipe.poll(BETWEEN_S):
            try:
                watch.look(client)
            except redis.RedisError:  # it is away: nothing can be seen, and nothing be spent
                continue
    pipe.send(samples)


class _Watch:
    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._levels: list[str] = []
        self._used: dict[str, int] = {}
        self._listed_at = 0.0

    def look(self, client: Any) -> None:
        if time.monotonic() - self._listed_at > LOOK_FOR_LEVELS_S:
            self._levels = list(client.scan_iter(LEVELS, count=1000))
            self._listed_at = time.monotonic()
        pipe = client.pipeline(transaction=False)
        for level in self._levels:
            pipe.hmget(level, FIELDS)
        for level, values in zip(self._levels, pipe.execute(), strict=True):
            self._judge(level, *values)
        self._samples.looks += 1
        self._samples.levels = max(self._samples.levels, len(self._levels))

    def _judge(self, level: str, limit: str | None, used_: str | None, held_: str | None) -> None:
        used, held = int(used_ or 0), int(held_ or 0)
        if limit is not None and used + held > int(limit):
            self._say(f"{level}: {used} used and {held} held are above its limit of {limit}")
        if held < 0:
            self._say(f"{level}: {held} held")
        if used < self._used.get(level, 0):
            self._say(f"{level}: {self._used[level]} used became {used}")
        self._used[level] = used

    def _say(self, wrong: str) -> None:
        if len(self._samples.wrong) < MOST_SAID:
            self._samples.wrong.append(wrong)
