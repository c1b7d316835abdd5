"""Erasing a tenant or a session: its jobs are cancelled, then all of theirs is removed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import routing
from ledger import cache, erasure, forgetting
from ledger.cache_files import CacheFiles
from ledger.erasure import Target
from ledger.errors import JobNotFound, ResultTimeout
from ledger.redis_client import Ledger
from ledger.scripts import Call
from producer.client import LLMClient

T = TypeVar("T")

AT_ONCE = 100  # calls in a pipeline, keys in a call


@dataclass(slots=True)
class Found:
    """What there is to erase. ``jobs``: whether each has ended."""

    jobs: dict[str, bool] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @property
    def live(self) -> list[str]:
        """Jobs that wait or run."""
        return [job_id for job_id, ended in self.jobs.items() if not ended]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed; ``answers``: from the cache; ``left``: jobs that did not end in time, which
    are still there.
    """

    jobs: int
    cancelled: int
    keys: int
    answers: int
    left: tuple[str, ...]


def find(ledger: Ledger, target: Target) -> Found:
    """Looks through all of Redis for what the target has.

    Raises:
        RedisUnavailable
    """
    found, cursor = Found(keys={key for key in target.keys if ledger.exists(key)}), "0"
    while True:
        page = ledger.run(erasure.find(target, cursor=cursor))
        found.jobs.update(page.jobs)
        found.keys.update(page.keys)
        if page.cursor == "0":
            return found
        cursor = page.cursor


def erase(client: LLMClient, ledger: Ledger, target: Target, *, patience_s: float) -> Erased:
    """Cancels the target's jobs, waits at most ``patience_s`` for those that run, removes all.

    What is submitted meanwhile is not looked for. Processes that keep contexts of the target's
    sessions are told to forget them.

    Raises:
        RedisUnavailable
    """
    found = find(ledger, target)
    left = _end(client, found.live, patience_s)
    ended = [erasure.erase_job(job_id) for job_id in found.jobs if job_id not in left]
    jobs = sum(_run_all(ledger, ended))
    # Looked for again: a job that came to its end meanwhile may have been a session's first.
    names = sorted(find(ledger, target).keys)
    removed = sum(_run_all(ledger, [erasure.erase_keys(some) for some in _cut(names)]))
    answers = _forget_answers(client, ledger, target)
    for entry in ledger.run(routing.read_registry()).entries:
        ledger.run(forgetting.tell(entry.descriptor.name, target.tenant, target.session_id))
    return Erased(jobs, len(found.live), removed, answers, tuple(left))


def _forget_answers(client: LLMClient, ledger: Ledger, target: Target) -> int:
    """Removes the target's answers from the cache, also from the directory of the settings."""
    whose = (target.tenant, target.agent_id, target.session_id)
    files = CacheFiles.of(client.settings)
    removed, cursor = files.forget(*whose) if files else 0, "0"
    while True:
        cursor, some = ledger.run(cache.forget(*whose, cursor=cursor))
        removed += some
        if cursor == "0":
            return removed


def _end(client: LLMClient, live: Iterable[str], patience_s: float) -> list[str]:
    """Cancels jobs and waits for their end; returns those that did not end in time."""
    until = time.monotonic() + patience_s
    running = [job_id for job_id in live if _cancel(client, job_id) == "stopping"]
    left = []
    for job_id in running:
        try:
            client.job(job_id).outcome(timeout=max(until - time.monotonic(), 0))
        except ResultTimeout:
            left.append(job_id)
        except JobNotFound:
            continue
    return left


def _cancel(client: LLMClient, job_id: str) -> str:
    try:
        return client.job(job_id).cancel()
    except JobNotFound:
        return "gone"


def _run_all(ledger: Ledger, calls: Sequence[Call[T]]) -> Iterator[T]:
    for some in _cut(calls):
        for answer in ledger.run_many(some):
            if isinstance(answer, Exception):
                raise answer
            yield answer


def _cut(things: Sequence[T]) -> Iterator[Sequence[T]]:
    return (things[at : at + AT_ONCE] for at in range(0, len(things), AT_ONCE))
