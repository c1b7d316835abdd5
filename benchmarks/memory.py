"""Whether Redis is as full after 100,000 jobs as before: ``python -m benchmarks.memory [JOBS]``.

The jobs go through the scripts that clients and workers call, without a worker, and end in every
way. They are kept for a second or two, so that the whole life of their keys fits a run.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import fleet
from benchmarks.scale import FULL
from benchmarks.stage import STOPPED, Stage
from budgets import levels_of
from ledger import jobs, sessions
from ledger.jobs import Claim
from ledger.messages import Event, Request, Result, State, Usage
from ledger.redis_client import Ledger
from ledger.scripts import Call
from ledger.settings import Settings
from producer import Job, LLMClient

JOBS = 100_000
BATCH = 500
AGENTS = 40
WARM_UP = 5_000
PROMPT = "Summarise in one sentence what was said so far. ".ljust(200, ".")
ANSWER = "It was said that the work is done. ".ljust(400, ".")
CHUNKS = 4
TOLERANCE = 0.02
PATIENCE_S = 180
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """How full Redis is: bytes that it has allocated, and keys."""

    used: int
    keys: int


def main() -> int:
    """0 if the memory came back to what it was, otherwise 1."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    fleet.scrub()
    with (
        tempfile.TemporaryDirectory(prefix="apexq-memory-") as folder,
        Stage(Path(folder), FULL) as stage,
    ):
        stage.empty(STOPPED)
        server = stage.bare(STOPPED)
        # The server's own log of slow calls fills while the machine is busy, and is no key of ours.
        server.config_set("slowlog-log-slower-than", -1)
        kept = {"retention_s": 1.0, "dead_retention_s": 1.0, "session_retention_s": 2.0}
        settings = stage.settings(STOPPED).model_copy(update=kept)
        with LLMClient(settings) as client:
            ledger = Ledger(settings.redis_url)
            _work(client, ledger, WARM_UP)
            before = _rested(server, None)
            _say("before", before)
            peak = _work(client, ledger, count, server)
            _say(f"most, while {count:,} jobs ended", peak)
            after = _rested(server, before)
            ledger.close()
    _say(f"after {count:,} jobs", after)
    change, more_keys = _excess(after, before), after.keys - before.keys
    print(f"change: {change:+.2%} (goal: within {TOLERANCE:.0%}), keys: {more_keys:+d}")
    return 0 if abs(change) <= TOLERANCE and more_keys <= 0 else 1


def _work(client: LLMClient, ledger: Ledger, count: int, server: Any = None) -> Look:
    """Brings so many jobs to their ends; returns the fullest look at the server."""
    most = Look(0, 0)
    for first in range(0, count, BATCH):
        requests = [_request(first + number) for number in range(min(BATCH, count - first))]
        _end(client, ledger, requests, client.submit_many(requests))
        if server is not None:
            most = max(most, _look(server), key=lambda look: look.used)
    return most


def _request(number: int) -> dict[str, Any]:
    """Of ten jobs five have a session, and one an episode, that no other job has."""
    request: dict[str, Any] = {"prompt": PROMPT, "agent_id": f"agent-{number % AGENTS}"}
    if number % 2:
        request |= {"session_id": str(uuid.uuid4()), "history": True}
    if number % 10 == 2:
        request |= {"episode_id": str(uuid.uuid4())}
    return request


def _end(
    client: LLMClient, ledger: Ledger, requests: Sequence[dict[str, Any]], submitted: Sequence[Job]
) -> None:
    """Of ten jobs seven succeed, one fails, one is cancelled as it runs and one as it waits."""
    settings = client.settings
    claims = []
    for number, job in enumerate(submitted):
        if number % 10 == 0:
            job.cancel()
        else:
            claims.append(_claim(job.id))
    claimed = [one for one in _all(ledger, claims) if isinstance(one, Claim)]
    assert len(claimed) == len(claims)
    _all(ledger, [_chunk(claim, chunk) for claim in claimed for chunk in range(1, CHUNKS + 1)])
    states = itertools.cycle([State.SUCCEEDED] * 7 + [State.FAILED, State.CANCELLED])
    _all(ledger, [_finish(claim, next(states), settings) for claim in claimed])


def _claim(job_id: str) -> Call[Any]:
    return jobs.claim(job_id, instance="inst0", owner="bench", pid=1, lease_ms=60_000, nonce=job_id)


def _chunk(claim: Claim, chunk: int) -> Call[Any]:
    event = Event(kind="chunk", attempt=claim.fence, text=ANSWER[:100], tokens=10)
    return jobs.emit(
        claim.job_id,
        instance="inst0",
        fence=claim.fence,
        chunk=chunk,
        tokens=10,
        prompt_tokens=50,
        event=event,
        slots=1,
        yields_to_bands_below=0,
    )


def _finish(claim: Claim, state: State, settings: Settings) -> Call[Any]:
    request = Request.model_validate_json(claim.request)
    result = Result(
        job_id=claim.job_id,
        state=state,
        text=ANSWER,
        usage=Usage(prompt_tokens=50, completion_tokens=CHUNKS * 10),
        instance="inst0",
    )
    turn = None
    if request.history and state is State.SUCCEEDED:
        turn = sessions.new_turn(
            claim.job_id,
            request,
            ANSWER,
            turns=settings.session_max_turns,
            size=settings.session_max_bytes,
            retention_ms=int(settings.session_retention_s * 1000),
        )
    return jobs.finish(
        result,
        fence=claim.fence,
        levels=levels_of(request, settings),
        model="mock",
        retention_ms=int(settings.retention_s * 1000),
        turn=turn,
    )


def _all(ledger: Ledger, calls: Sequence[Call[Any]]) -> list[Any]:
    """The answers of many calls; an error of one is raised."""
    answers = [answer for some in _cut(calls) for answer in ledger.run_many(some)]
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _cut(calls: Sequence[Call[Any]]) -> Iterator[Sequence[Call[Any]]]:
    return (calls[at : at + BATCH] for at in range(0, len(calls), BATCH))


def _rested(server: Any, wanted: Look | None) -> Look:
    """The look at a server whose keys have gone and which has tidied up.

    It is at rest when two looks are the same, or as soon as it is as empty as ``wanted``.
    """
    until = time.monotonic() + PATIENCE_S
    last = _look(server)
    while time.monotonic() < until:
        time.sleep(LOOK_S)  # what expires and shrinks in Redis announces nothing
        look = _look(server)
        if wanted is None and look == last and _expiring(server) <= 1:
            return look
        if wanted is not None and look.keys <= wanted.keys and _excess(look, wanted) <= TOLERANCE:
            return look
        last = look
    return last


def _look(server: Any) -> Look:
    return Look(int(server.info("memory")["used_memory"]), int(server.dbsize()))


def _expiring(server: Any) -> int:
    """Keys that will still expire; usage of the day does, in 400 days."""
    databases = server.info("keyspace")
    return sum(int(facts["expires"]) for facts in databases.values())


def _excess(look: Look, before: Look) -> float:
    return look.used / before.used - 1


def _say(when: str, look: Look) -> None:
    print(f"{when}: {look.used:,} bytes, {look.keys:,} keys", flush=True)


if __name__ == "__main__":
    sys.exit(main())
