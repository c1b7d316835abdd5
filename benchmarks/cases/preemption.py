"""From the call to the first chunk of an URGENT job, while a LOW one of ten minutes runs."""

from __future__ import annotations

import time

from benchmarks.goal import below
from benchmarks.row import Row
from benchmarks.stage import PROMPT, WORKED, Stage
from benchmarks.stats import quantile

TOKENS, TOKENS_PER_S = 60_000, 100  # ten minutes
LOOK_S = 0.005


def measure(stage: Stage) -> list[Row]:
    """Milliseconds; the LOW job is the same one throughout, and runs again before each try."""
    stage.workers()
    client = stage.client(WORKED)
    low = client.submit(
        f"[[mock tokens={TOKENS} tps={TOKENS_PER_S}]]",
        agent_id="a",
        priority="LOW",
        max_tokens=TOKENS,
        timeout_s=900,
    )

    def once() -> float:
        while low.status().state != "running":
            time.sleep(LOOK_S)
        time.sleep(5 / TOKENS_PER_S)  # and makes tokens
        start = time.perf_counter()
        events = client.submit(PROMPT, agent_id="b", priority="URGENT", max_tokens=1).stream()
        next(events)
        took_ms = (time.perf_counter() - start) * 1000
        for _ in events:
            pass
        return took_ms

    try:
        once()
        tries = [once() for _ in range(stage.scale.preemptions)]
    finally:
        low.cancel()
        low.outcome(timeout=10)
    return [
        Row(
            f"URGENT behind a running LOW job, first chunk, p{percent}",
            "ms",
            [quantile(tries, percent / 100)],
            goal=below(100) if percent == 99 else None,
        )
        for percent in (50, 99)
    ]
