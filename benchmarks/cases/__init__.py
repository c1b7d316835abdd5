"""One file per thing that is measured: each takes the stage and returns its rows."""

from collections.abc import Callable

from benchmarks.cases import (
    bare_redis,
    budget,
    cached,
    chunks,
    first_chunk,
    gap,
    idle,
    preemption,
    submit,
    waiting,
)
from benchmarks.row import Row
from benchmarks.stage import Stage

# In the order of the report; those that need the workers stand together.
CASES: dict[str, Callable[[Stage], list[Row]]] = {
    "first-chunk": first_chunk.measure,
    "gap": gap.measure,
    "cached": cached.measure,
    "idle": idle.measure,
    "preemption": preemption.measure,
    "submit": submit.measure_single,
    "bulk": submit.measure_bulk,
    "budget": budget.measure,
    "chunks": chunks.measure,
    "waiting": waiting.measure,
    "redis": bare_redis.measure,
}

__all__ = ["CASES"]
