"""The steps of a job's life. Each function describes one atomic script call; a ledger makes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ledger import keys
from ledger.episodes import EpisodeTerms
from ledger.errors import (
    ApexError,
    BudgetExceeded,
    EpisodeOver,
    IdempotencyConflict,
    JobNotFound,
    NoInstance,
    QueueFull,
    Rerouted,
)
from ledger.levels import Level
from ledger.limits import Limits
from ledger.messages import Event, Request, Result, State
from ledger.queue_place import retry_after_s
from ledger.scripts import Arg, Call
from ledger.sessions import NewTurn

DAY_MS = 24 * 3600 * 1000
RETENTION_MS = DAY_MS
USAGE_MS = 400 * DAY_MS


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands. ``fence`` proves it; times are Redis' own, in ms, 0: none.

    ``lifted``: it waited for so long that it counts as so many bands higher.
    """

    job_id: str
    fence: int
    request: str
    submitted_ms: int
    claimed_ms: int
    deadline_ms: int
    held: int
    made: int
    prompt_tokens: int
    failures: int
    episode_deadline_ms: int = 0
    lifted: int = 0


@dataclass(frozen=True, slots=True)
class Noop:
    """A wake-up that does not apply; ``state`` is the job's, or ``gone`` or ``corrupt``."""

    state: str


Control = Literal["go", "fenced", "cancel", "deadline", "budget", "yield", "leave"]

LEAVE = "leave"  # the stop of a job whose worker goes away: it is given back


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
    return _denied(reply, levels, one.hold)


def claim(
    job_id: str, *, instance: str, owner: str, pid: int, lease_ms: int, nonce: str
) -> Call[Claim | Noop]:
    """Takes the job for process ``pid`` of ``owner``, if it still waits for this instance."""

    def read(reply: list[Any]) -> Claim | Noop:
        if reply[0] == "noop":
            return Noop(reply[1])
        return Claim(job_id, *reply[1:])

    return Call(
        "claim",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.fair(instance),
            keys.queue(instance),
            keys.held_back(instance),
            keys.EXPIRING,
            keys.DELAYED,
        ],
        [job_id, instance, owner, pid, lease_ms, nonce, keys.budget("episode")],
        read,
    )


def emit(
    job_id: str,
    *,
    instance: str,
    fence: int,
    chunk: int,
    tokens: int,
    prompt_tokens: int,
    event: Event,
    slots: int,
    yields_to_bands_below: int,
    episode: EpisodeTerms | None = None,
) -> Call[Control]:
    """Appends chunk number ``chunk`` (from 1) of this attempt and asks whether to go on.

    ``episode``: the terms of the job's episode, where it has one.
    """
    return Call(
        "emit",
        [
            keys.job(job_id),
            keys.stream(job_id),
            keys.running(instance),
            keys.queue(instance),
            keys.leaving(instance),
            *((episode.level.key,) if episode else ()),
        ],
        [
            fence,
            chunk,
            tokens,
            prompt_tokens,
            event.body(),
            slots,
            yields_to_bands_below,
            job_id,
            *(episode.args if episode else ()),
        ],
        lambda reply: reply,
    )


def stop(job_id: str, *, fence: int, why: str) -> Call[bool]:
    """Tells a job that runs under ``fence`` to stop; ``why`` is the time limit that it has passed,
    or :data:`LEAVE`.

    Reads as False when it does not run under it any more.
    """
    return Call("stop", [keys.job(job_id)], [fence, why], bool)


def hold(
    job_id: str, *, fence: int, wanted: int, least: int, levels: Sequence[Level]
) -> Call[int | None]:
    """Sets what a running job holds to ``wanted`` tokens, or what there is, at least ``least``.

    Reads as the tokens held, or None when the fence is no longer the job's.

    Raises (when read):
        BudgetExceeded: not even ``least`` fits.
    """

    def read(reply: list[Any]) -> int | None:
        if reply[0] == "held":
            return int(reply[1])
        if reply[0] == "fenced":
            return None
        raise _denied(reply, levels, least)

    return Call(
        "hold",
        [keys.job(job_id), *(level.key for level in levels)],
        [fence, wanted, least, *(level.limit_arg for level in levels)],
        read,
    )


def finish(
    result: Result,
    *,
    fence: int,
    levels: Sequence[Level],
    model: str = "",
    retention_ms: int = RETENTION_MS,
    usage_ms: int = USAGE_MS,
    turn: NewTurn | None = None,
) -> Call[bool]:
    """Ends a running job with ``result``; ``turn`` is added to its session in the same step.

    Its tokens are charged, and noted as usage of ``model`` for ``usage_ms``. Reads as False when
    the fence is no longer the job's.
    """
    job_id, instance = result.job_id, result.instance
    return Call(
        "finish",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.stream(job_id),
            keys.result(job_id),
            keys.running(instance),
            keys.entry(instance),
            keys.USAGE,
            keys.TENANTS,
            *(level.key for level in levels),
            *((turn.session_key,) if turn else ()),
        ],
        [
            job_id,
            fence,
            result.state,
            result.model_dump_json(),
            Event(kind="end", attempt=fence, state=result.state).body(),
            keys.celery_meta(job_id),
            json.dumps(celery_meta(result)),
            retention_ms,
            0 if result.cached else result.usage.prompt_tokens,
            model,
            usage_ms,
            *(turn.args if turn else ()),
        ],
        lambda reply: reply == "finished",
    )


@dataclass(frozen=True, slots=True)
class Rest:
    """An instance's rest, because its model's provider takes no more requests for now.

    ``patience_ms``: since when a job may have been given back so before it is given up.
    """

    ms: int
    patience_ms: int


def requeue(
    job_id: str,
    *,
    instance: str,
    fence: int,
    reason: str,
    failed: bool,
    wait_ms: int = 0,
    lease_over: bool = False,
    rest: Rest | None = None,
) -> Call[Literal["queued", "exhausted", "stopped", "fenced", "renewed"]]:
    """Gives a running job back, before all others of its band; ``failed`` spends one attempt.

    It waits ``wait_ms`` until it is run again, or longer after several failures. With
    ``lease_over`` only a job is given back whose lease has run out. With a ``rest`` its instance
    starts no job until that is over, and a job that has made nothing yet has its limit in the
    queue again.

    Reads as ``exhausted`` when that was its last attempt or the rest's patience is over, and
    ``stopped`` when it was cancelled meanwhile: nothing was changed, and the caller ends it with
    :func:`finish`.
    """
    event = Event(
        kind="requeued",
        attempt=fence,
        reason=reason,
        failed=failed,
        instance=instance if failed else "",
    )
    return Call(
        "requeue",
        [
            keys.job(job_id),
            keys.stream(job_id),
            keys.entry(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.queue(instance),
            keys.leaving(instance),
            keys.DELAYED,
            keys.EXPIRING,
        ],
        [
            job_id,
            fence,
            event.body(),
            int(failed),
            wait_ms,
            int(lease_over),
            *((rest.ms, rest.patience_ms) if rest else ()),
        ],
        lambda reply: reply,
    )


def fall_back(
    job_id: str,
    *,
    fence: int,
    source: str,
    target: str,
    model: str,
    tried: Sequence[str],
    reason: str,
    begins_anew: bool,
) -> Call[Literal["queued", "stopped", "fenced", "closed"]]:
    """Gives a running job of ``source`` to ``target``, which has another ``model``.

    ``tried``: the models that could not answer it, for its next attempts to read. With
    ``begins_anew`` readers are told that what they have is void.

    Reads as ``closed`` when ``target`` takes no jobs by now, and as :func:`requeue` does.
    """
    event = Event(kind="requeued", attempt=fence, reason=reason, failed=True, instance=source)
    return Call(
        "fall_back",
        [
            keys.job(job_id),
            keys.stream(job_id),
            keys.running(source),
            keys.leaving(source),
            keys.entry(target),
            keys.waiting(target),
            keys.woken(target),
            keys.fair(target),
            keys.queue(target),
        ],
        [
            job_id,
            fence,
            target,
            model,
            json.dumps(tried),
            event.body(),
            Event(kind="reset", attempt=fence).body() if begins_anew else "",
        ],
        lambda reply: reply,
    )


def wake(job_id: str, *, instance: str) -> Call[bool]:
    """Pushes another wake-up of a job that waits for ``instance``; False if it does not."""
    return Call(
        "wake",
        [
            keys.job(job_id),
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.queue(instance),
            keys.DELAYED,
        ],
        [job_id, instance],
        bool,
    )


def release(instance: str) -> Call[int]:
    """Wakes turns that were held back until another one of their session had ended.

    Reads as how many. To be called when a turn has ended, and now and then.
    """
    return Call(
        "release",
        [
            keys.held_back(instance),
            keys.entry(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.queue(instance),
            keys.job(""),
        ],
        [],
        int,
    )


def cancel(
    result: Result,
    *,
    levels: Sequence[Level],
    retention_ms: int = RETENTION_MS,
    usage_ms: int = USAGE_MS,
) -> Call[str]:
    """Cancels a waiting job with ``result`` as its record, or tells a running one to stop.

    Reads as ``cancelled``, ``stopping``, ``moved``, or the terminal state that it already had.

    Raises (when read):
        JobNotFound
    """
    job_id, instance = result.job_id, result.instance

    def read(reply: str) -> str:
        if reply == "gone":
            raise JobNotFound(job_id=job_id)
        return reply

    return Call(
        "cancel",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.stream(job_id),
            keys.result(job_id),
            keys.waiting(instance),
            keys.woken(instance),
            keys.USAGE,
            keys.TENANTS,
            keys.INSTANCES,
            keys.DELAYED,
            keys.EXPIRING,
            *(level.key for level in levels),
        ],
        [
            job_id,
            instance,
            result.model_dump_json(),
            Event(kind="end", state=State.CANCELLED).body(),
            keys.celery_meta(job_id),
            json.dumps(celery_meta(result)),
            retention_ms,
            usage_ms,
        ],
        read,
    )


CELERY_STATES = {
    State.QUEUED: "PENDING",
    State.RUNNING: "STARTED",
    State.SUCCEEDED: "SUCCESS",
    State.FAILED: "FAILURE",
    State.EXPIRED: "FAILURE",
    State.DEAD: "FAILURE",
    State.CANCELLED: "REVOKED",
}


def celery_meta(result: Result) -> dict[str, Any]:
    """A terminal record as Celery's result backends write it; the result is the text."""
    value: Any = result.text
    if result.state is not State.SUCCEEDED:
        error = result.error or {}
        value = {
            "exc_type": "JobCancelled" if result.state is State.CANCELLED else "JobFailed",
            "exc_message": [str(error.get("message", result.state))],
            "exc_module": "ledger.errors",
        }
    return {
        "status": CELERY_STATES[result.state],
        "result": value,
        "traceback": None,
        "children": [],
        "date_done": None,
        "task_id": result.job_id,
    }


def _denied(reply: list[Any], levels: Sequence[Level], requested: int) -> BudgetExceeded:
    level = levels[reply[1] - 1]
    limit, used, held, window, now_ms = reply[2:]
    return BudgetExceeded.of(
        level.name, limit, used, held, requested, window=window or None, now_ms=now_ms
    )
