"""Processes that submit at the same moment, and one that watches a budget meanwhile."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from ledger.settings import Settings
from producer import ApexError, LLMClient

MOST_S = 60

_processes = multiprocessing.get_context("spawn")


def race(settings: Settings, shares: Sequence[Sequence[dict[str, Any]]]) -> list[str]:
    """Each share of requests is submitted by a process of its own; all begin at once.

    Returns what became of each request: a job's id, or the code of an error.
    """
    barrier, answers = _processes.Barrier(len(shares)), _processes.SimpleQueue()
    racers = [
        _processes.Process(target=_submit, args=(settings, share, barrier, answers), daemon=True)
        for share in shares
    ]
    for racer in racers:
        racer.start()
    came = [answer for _ in racers for answer in answers.get()]
    for racer in racers:
        racer.join(MOST_S)
    return came


def _submit(settings: Settings, requests: Sequence[dict[str, Any]], start: Any, out: Any) -> None:
    came = []
    try:
        with LLMClient(settings) as client:
            client.get_stats()  # connected before the start
            start.wait(MOST_S)
            for request in requests:
                try:
                    came.append(client.submit(**request).id)
                except ApexError as error:
                    came.append(error.code)
    finally:
        out.put(came)


@dataclass(slots=True)
class Watched:
    """The most that was ever used and held together, and how often that was looked at."""

    most: int = 0
    looks: int = 0


@contextmanager
def watching(url: str, budget_key: str) -> Iterator[Watched]:
    """Looks at a budget level as fast as it can for the length of the block."""
    ours, theirs = _processes.Pipe()
    process = _processes.Process(target=_look, args=(url, budget_key, theirs), daemon=True)
    process.start()
    assert ours.poll(MOST_S), "the watcher did not start"
    ours.recv()
    watched = Watched()
    try:
        yield watched
    finally:
        ours.send("enough")
        watched.most, watched.looks = ours.recv()
        process.join(MOST_S)


def _look(url: str, budget_key: str, pipe: Any) -> None:
    most = looks = 0
    with redis.Redis.from_url(url) as client:
        client.ping()
        pipe.send("ready")
        while not pipe.poll():
            used, held = client.hmget(budget_key, "used", "held")
            most, looks = max(most, int(used or 0) + int(held or 0)), looks + 1
    pipe.send((most, looks))
