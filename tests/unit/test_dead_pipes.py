"""Pipes of processes that are gone, of which Celery's pool keeps the numbers."""

from __future__ import annotations

from types import SimpleNamespace

from workers.guardian_step import forget_dead_pipes


def test_the_hub_reads_the_pipes_of_living_processes_and_no_others() -> None:
    gone, living = object(), object()
    pool = SimpleNamespace(_pool=[living], _fileno_to_outq={7: gone, 9: living})
    readers = {7: "results", 9: "results", 11: "Redis"}

    forget_dead_pipes(pool, SimpleNamespace(remove_reader=readers.pop))

    assert pool._fileno_to_outq == {9: living}
    assert set(readers) == {9, 11}
