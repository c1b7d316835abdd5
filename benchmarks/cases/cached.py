"""An answer from the response cache, beside one that is made, while the worker is idle."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stage import PROMPT, WORKED, Stage, rest
from benchmarks.stats import quantile


def measure(stage: Stage) -> list[Row]:
    """``client.complete``, milliseconds, median: both ours, the baseline without the cache."""
    stage.workers()
    client, broker = stage.client(WORKED), stage.bare(WORKED)
    client.complete(PROMPT, agent_id="a", max_tokens=1, cache=True)

    def asking(cache: bool) -> Callable[[], float]:
        def once() -> float:
            rest(broker)
            start = time.perf_counter()
            result = client.complete(PROMPT, agent_id="a", max_tokens=1, cache=cache)
            took_ms = (time.perf_counter() - start) * 1000
            assert result.cached is cache
            return took_ms

        return lambda: quantile([once() for _ in range(stage.scale.first_chunks)], 0.5)

    rounds = interleave(stage.scale.rounds, asking(cache=True), asking(cache=False))
    return [Row("an answer from the cache, p50", "ms", *rounds)]
