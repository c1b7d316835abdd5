"""How much is measured: enough to trust, or enough to see that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Rounds of each side, and the work in one round."""

    rounds: int
    first_chunks: int
    submits: int
    bulk: int
    drained_jobs: int
    chunks: int
    waiting: int
    preemptions: int
    idle_looks: int
    round_trips: int


FULL = Scale(
    rounds=7,
    first_chunks=60,
    submits=500,
    bulk=10_000,
    drained_jobs=300,
    chunks=400,
    waiting=100_000,
    preemptions=50,
    idle_looks=3,
    round_trips=5_000,
)
QUICK = Scale(
    rounds=2,
    first_chunks=20,
    submits=200,
    bulk=1_000,
    drained_jobs=100,
    chunks=100,
    waiting=10_000,
    preemptions=10,
    idle_looks=1,
    round_trips=1_000,
)
