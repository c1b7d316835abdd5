"""The steps of the response cache in Redis. Each function describes one atomic script call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ledger import keys
from ledger.cache_key import CacheKey
from ledger.errors import CorruptEntry
from ledger.messages import Event, Request, Result, State, Timings
from ledger.scripts import Call
from ledger.windows import DAY_MS

KEYS_AT_ONCE = 1000

_OWN = {"job_id", "instance", "cached", "attempt", "timings"}  # of a job, not of its answer
_AT_ONCE = Timings(ttft_ms=0)
_END = Event(kind="end", attempt=1, state=State.SUCCEEDED).body()


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it is kept: the rest of a record after what is each job's own, and its event."""

    record: str
    event: str

    @classmethod
    def of(cls, result: Result) -> Kept:
        """The answer of a job that has succeeded."""
        record = result.model_dump_json(exclude=_OWN, exclude_defaults=True)[1:]
        event = Event(
            kind="chunk",
            attempt=1,
            text=result.text,
            reasoning=result.reasoning,
            tool_calls=tuple(
                {"index": index, **call} for index, call in enumerate(result.tool_calls)
            ),
            tokens=result.usage.completion_tokens,
            logprobs=result.logprobs,
        )
        said = result.text or result.reasoning or result.tool_calls
        return cls(record, event.body() if said else "")

    def result(self, job_id: str, instance: str) -> Result:
        """The record of another job that ends with this answer.

        Raises:
            CorruptEntry: what was kept is not a record.
        """
        try:
            return Result.model_validate_json(_beginning(job_id, instance) + self.record)
        except ValueError as error:
            raise CorruptEntry(job_id=job_id) from error


def answer(
    job_id: str,
    request: Request,
    body: str,
    key: CacheKey,
    *,
    instance: str,
    max_attempts: int,
    retention_ms: int,
    kept: Kept | None = None,
) -> Call[bool]:
    """Makes a job that has ended already, with an answer from the cache.

    Args:
        job_id: of the job.
        request: what it asks.
        body: the same as JSON.
        key: where its answer lies.
        instance: which would have run it.
        max_attempts: which it would have had.
        retention_ms: how long it is kept.
        kept: the answer, where it lies elsewhere.

    Reads as False where there is no answer, or the job is there already: it is to be submitted.
    """
    return Call(
        "cache_answer",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.stream(job_id),
            keys.result(job_id),
            key.entry,
        ],
        [
            job_id,
            body,
            instance,
            request.priority.band,
            request.tenant,
            request.agent_id,
            request.session_id or "",
            request.episode_id or "",
            int(request.timeout_s * 1000),
            max_attempts,
            retention_ms,
            _beginning(job_id, instance),
            _END,
            kept.record if kept else "",
            kept.event if kept else "",
        ],
        bool,
    )


def begin(job_id: str, key: CacheKey, *, instance: str) -> Call[Kept | Literal["wait", "run"]]:
    """Asks whether a job that has been claimed has to run.

    Reads as the answer of an equal one; as ``wait`` while an equal one runs, whose end wakes this
    one; otherwise as ``run``: equal ones wait for this one now, until :func:`end`, unless an equal
    one left no answer a moment ago.
    """

    def read(reply: list[Any]) -> Kept | Literal["wait", "run"]:
        if reply[0] == "kept":
            return Kept(reply[1], reply[2])
        return "wait" if reply[0] == "wait" else "run"

    return Call(
        "cache_begin",
        [key.entry, *key.run_keys, keys.job("")],
        [job_id, instance, DAY_MS],
        read,
    )


def keep(
    kept: Kept, request: Request, key: CacheKey, *, ttl_ms: int, most_bytes: int
) -> Call[bool]:
    """Puts an answer into the cache. Reads as False if it is larger than all may be together."""
    return Call(
        "cache_keep",
        [key.entry, keys.CACHED, keys.CACHED_BYTES],
        [
            kept.record,
            kept.event,
            request.agent_id,
            request.session_id or "",
            ttl_ms,
            most_bytes,
        ],
        bool,
    )


def end(job_id: str, key: CacheKey, *, apart_ms: int) -> Call[list[tuple[str, str]]]:
    """Says that nobody is to wait for this job any more.

    Where it left no answer in Redis, equal ones run beside one another for ``apart_ms``.

    Reads as those that did, each with its instance: they are to be woken.
    """

    def read(reply: list[str]) -> list[tuple[str, str]]:
        parts = (one.partition(" ") for one in reply)
        return [(job, instance) for instance, _, job in parts]

    return Call("cache_end", [*key.run_keys, key.entry], [job_id, apart_ms], read)


def forget(
    tenant: str, agent_id: str | None, session_id: str | None, *, cursor: str
) -> Call[tuple[str, int]]:
    """Removes answers of a tenant, or of one of its sessions, from some of the cache.

    Reads as the cursor that leads to the rest, "0" to none, and how many were removed.
    """
    return Call(
        "cache_forget",
        [keys.CACHED, keys.CACHED_BYTES],
        [cursor, KEYS_AT_ONCE, keys.cache(tenant, ""), agent_id or "", session_id or ""],
        lambda reply: (str(reply[0]), int(reply[1])),
    )


def _beginning(job_id: str, instance: str) -> str:
    """A record's JSON up to where what is kept goes on."""
    own = Result(
        job_id=job_id, state=State.SUCCEEDED, instance=instance, cached=True, timings=_AT_ONCE
    )
    return own.model_dump_json(include=_OWN)[:-1] + ","
