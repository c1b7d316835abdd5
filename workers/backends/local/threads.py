"""How many threads a model in the process computes with."""

from __future__ import annotations

import os

from ledger.settings import Settings


def threads(n_threads: int | None, backend: str, settings: Settings) -> int:
    """Threads of one instance: as told, or this process's cores shared among all its like."""
    if n_threads is not None:
        return n_threads
    sharing = sum(one.backend == backend for one in settings.instances)
    return max(1, _cores() // max(1, sharing))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
