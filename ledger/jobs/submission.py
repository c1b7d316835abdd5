"""Accepting jobs, one or many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.errors import (
    ApexError,
    EpisodeOver,
    IdempotencyConflict,
    NoInstance,
    QueueFull,
    Rerouted,
)
from ledger.jobs.denial import denied
from ledger.levels import Level
from ledger.limits import Limits
from ledger.messages import Request
from ledger.queue_place import retry_after_s
from ledger.scripts import Arg, Call


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be accepted. ``body``: its request as JSON; ``hold``: tokens at each level."""

    job_id: str
    request: Request
    body: str
    hold: int
    levels: Sequence[Level]

    def args(self, numbers: Mapping[str, int]) -> tuple[Arg, ...]:
        """As the script takes them; ``numbers``: its budget levels' keys, counted from 1."""
        request = self.request
        return (
            self.job_id,
            self.body,
            request.priority.band,
            self.hold,
            request.tenant,
            request.agent_id,
            request.session_id or "",
            request.episode_id or "",
            int(request.timeout_s * 1000),
            Limits.of(request).packed(),
            ",".join([str(numbers[level.key]) for level in self.levels]),
            request.instance or "",
            request.model or "",
        )


Accepted = str | ApexError  # the instance that has a job, or why none has


def submit(
    job_id: str,
    request: Request,
    *,
    body: str | None = None,
    instance: str,
    hold: int,
    levels: Sequence[Level],
    max_attempts: int,
    max_waiting: int,
    routes: str = "",
) -> Call[str]:
    """Accepts a job for ``instance``, holding ``hold`` tokens at every level.

    ``body`` is the request's JSON, where the caller has it already. ``routes``: as the registry had
    it from which ``instance`` was chosen.

    Reads as the instance that has the job: another one if the same job was submitted before.

    Raises (when read):
        BudgetExceeded, EpisodeOver, QueueFull, NoInstance, Rerouted, IdempotencyConflict
    """

    one = Submission(job_id, request, body or request.to_json(), hold, levels)
    call = submit_many(
        [one],
        instance=instance,
        max_attempts=max_attempts,
        max_waiting=max_waiting,
        routes=routes,
    )

    def read(reply: list[Any]) -> str:
        (answer,) = call.read(reply)
        if isinstance(answer, ApexError):
            raise answer
        return answer

    return Call(call.script, call.keys, call.args, read)


def submit_many(
    submissions: Sequence[Submission],
    *,
    instance: str,
    max_attempts: int,
    max_waiting: int,
    routes: str = "",
) -> Call[list[Accepted]]:
    """As :func:`submit`, of many jobs: each by itself, all in one script call.

    Reads as the instance that has it for each job: another one if the same job was submitted
    before. In its place stands why it was refused: BudgetExceeded, EpisodeOver, QueueFull,
    NoInstance, Rerouted, IdempotencyConflict.
    """
    levels = {level.key: level for one in submissions for level in one.levels}
    numbers = {key: number for number, key in enumerate(levels, 1)}
    ordered = list(levels.values())

    def read(replies: list[Any]) -> list[Accepted]:
        return [
            instance if reply == "accepted" else _refused(reply, instance, one, ordered)
            for one, reply in zip(submissions, replies, strict=True)
        ]

    return Call(
        "submit",
        [
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.fair(instance),
            keys.queue(instance),
            keys.EXPIRING,
            keys.parked(instance),
            *levels,
            *(
                key
                for one in submissions
                for key in (keys.job(one.job_id), keys.request(one.job_id))
            ),
        ],
        [
            instance,
            max_attempts,
            max_waiting,
            len(ordered),
            routes,
            *(arg for level in ordered for arg in (level.limit_arg, level.keep_arg)),
            *(arg for one in submissions for arg in one.args(numbers)),
        ],
        read,
    )


def _refused(reply: list[Any], instance: str, one: Submission, levels: Sequence[Level]) -> Accepted:
    match reply[0]:
        case "exists":
            return str(reply[1])
        case "conflict":
            return IdempotencyConflict(job_id=one.job_id)
        case "no_instance":
            return NoInstance()
        case "rerouted":
            return Rerouted(instance=instance)
        case "full":
            waiting, run_ms, slots = reply[1:]
            wait_s = retry_after_s(waiting, run_ms=run_ms, slots=slots)
            return QueueFull(instance=instance, waiting=waiting, retry_after_s=wait_s)
        case "over":
            return EpisodeOver(episode_id=levels[reply[1] - 1].ids[-1])
    return denied(reply, levels, one.hold)
