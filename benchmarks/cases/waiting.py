"""What a long queue costs: the time of one more submit, and the memory of each job in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.goal import below, ratio_at_most
from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stage import BACKLOG, PROMPT, STOPPED, Stage
from benchmarks.stats import median
from ledger import keys
from producer import LLMClient

SLICE = 10_000


def measure(stage: Stage) -> list[Row]:
    """Microseconds per submit behind a full queue against an empty one; bytes per waiting job."""
    stage.dismiss()
    overhead = _fill(stage)
    full, empty = stage.client(BACKLOG), stage.client(STOPPED)
    submits, count = stage.scale.submits, stage.scale.waiting

    def behind_none() -> float:
        stage.empty(STOPPED)
        return _median_us(empty, submits)

    rounds = interleave(stage.scale.rounds, lambda: _median_us(full, submits), behind_none)
    stage.empty(BACKLOG)
    return [
        Row(f"submit with {count:,} waiting, against none", "us", *rounds, ratio_at_most(1.1)),
        Row("memory per waiting job beyond its request", "bytes", [overhead], goal=below(1000)),
    ]


def _fill(stage: Stage) -> float:
    """Lets jobs wait in BACKLOG; returns the bytes of memory each took beyond its request."""
    stage.empty(STOPPED)
    stage.empty(BACKLOG)
    client, server = stage.client(BACKLOG), stage.bare(BACKLOG)
    one = client.submit(PROMPT, agent_id="a")  # what all jobs share is there before the first look
    request_bytes = server.strlen(keys.request(one.id))
    before = _used(server)
    for _ in range(stage.scale.waiting // SLICE):
        client.submit_many([{"prompt": PROMPT, "agent_id": "a"}] * SLICE)
    return (_used(server) - before) / stage.scale.waiting - int(request_bytes)


def _used(server: Any) -> int:
    return int(server.info("memory")["used_memory"])


def _median_us(client: LLMClient, count: int) -> float:
    return median([_timed(lambda: client.submit(PROMPT, agent_id="a")) for _ in range(count)]) * 1e6


def _timed(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
