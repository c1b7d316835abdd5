"""Looking at jobs and budgets without changing them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from ledger import keys
from ledger.errors import CorruptEntry, JobNotFound
from ledger.limits import Limits
from ledger.messages import Result, State
from ledger.queue_place import Queue
from ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job's own fields; times are Redis' own, in ms."""

    job_id: str
    tenant: str
    agent_id: str
    session_id: str | None
    episode_id: str | None
    state: State
    instance: str
    band: int
    fence: int
    owner: str
    pid: int
    held: int
    made: int
    prompt_tokens: int
    failures: int
    stop: str
    submitted_ms: int
    deadline_ms: int
    timeout_s: float
    limits: Limits
    ended_ms: int
    now_ms: int
    tried: tuple[str, ...] = ()  # models that could not answer it


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as the ledger holds it; ``result`` is None until it has ended."""

    facts: JobFacts
    result: Result | None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job stands.

    ``position``: jobs before it on its instance, those that run included; None once it runs.
    ``eta_s``: seconds until it starts, from the average run of that instance; None if nothing is
    known. ``why``: what it waits for, or what it ended with.
    """

    job_id: str
    state: State
    instance: str
    position: int | None
    eta_s: float | None
    why: str


def facts_of(job_id: str, fields: dict[str, str], now_ms: int) -> JobFacts:
    """A job's hash as facts.

    Raises:
        CorruptEntry: a field is missing or is not what the ledger writes.
    """
    try:
        return JobFacts(
            job_id=job_id,
            tenant=fields["tenant"],
            agent_id=fields["agent"],
            session_id=fields.get("session"),
            episode_id=fields.get("episode"),
            state=State(fields["state"]),
            instance=fields["instance"],
            band=int(fields["band"]),
            fence=int(fields["fence"]),
            owner=fields.get("owner", ""),
            pid=int(fields.get("pid", 0)),
            held=int(fields["held"]),
            made=int(fields["made"]),
            prompt_tokens=int(fields.get("prompt", 0)),
            failures=int(fields["failures"]),
            stop=fields.get("stop", ""),
            submitted_ms=int(fields["submitted"]),
            deadline_ms=int(fields.get("deadline", 0)),
            timeout_s=int(fields["timeout"]) / 1000,
            limits=Limits.unpack(fields.get("limits", "")),
            ended_ms=int(fields.get("ended", 0)),
            now_ms=now_ms,
            tried=tuple(json.loads(fields.get("tried", "[]"))),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptEntry(job_id=job_id) from error


def read_job(job_id: str) -> Call[JobEntry | None]:
    """A job and its terminal record, or None if there is no such job.

    Raises (when read):
        CorruptEntry
    """

    def read(reply: list[Any]) -> JobEntry | None:
        flat, record, now_ms = reply
        if not flat:
            return None
        facts = facts_of(job_id, dict(zip(flat[::2], flat[1::2], strict=True)), now_ms)
        return JobEntry(facts, read_result(job_id, record))

    return Call("read_job", [keys.job(job_id), keys.result(job_id)], [], read)


def read_result(job_id: str, stored: str) -> Result | None:
    """A stored terminal record, or None while there is none.

    Raises:
        CorruptEntry: what is stored is not a record.
    """
    if not stored:
        return None
    try:
        return Result.model_validate_json(stored)
    except ValueError as error:
        raise CorruptEntry(job_id=job_id) from error


def job_status(job_id: str, instance: str) -> Call[JobStatus]:
    """Where the job stands; ``instance`` as its facts name it.

    Raises (when read):
        JobNotFound, CorruptEntry
    """

    def read(reply: list[Any]) -> JobStatus:
        flat, record, *place = reply
        if not flat:
            raise JobNotFound(job_id=job_id)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        facts = facts_of(job_id, fields, 0)
        if facts.state is not State.QUEUED:
            why = _how_it_is(facts, read_result(job_id, record))
            return JobStatus(job_id, facts.state, instance, None, None, why)
        queue = replace(Queue(instance, *place), shares="shares" in fields)
        return JobStatus(job_id, facts.state, instance, queue.position, queue.eta_s, queue.why)

    return Call(
        "status",
        [
            keys.job(job_id),
            keys.result(job_id),
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.SEEN,
            keys.queue(instance),
            keys.DELAYED,
        ],
        [job_id, instance],
        read,
    )


def _how_it_is(facts: JobFacts, result: Result | None) -> str:
    if result is None:
        return f"{facts.state} on {facts.instance}"
    if result.error is not None:
        return str(result.error.get("message", facts.state))
    return f"{facts.state} on {facts.instance} ({result.finish_reason})"
