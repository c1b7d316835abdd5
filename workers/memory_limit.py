"""A bound on the memory of its own that an instance's process may have."""

from __future__ import annotations

import logging
import sys

log = logging.getLogger(__name__)


def limit_memory(limit_mb: int | None) -> None:
    """From now on an allocation past ``limit_mb`` fails in this process, instead of driving the
    machine out of memory.

    The limit is RLIMIT_DATA: heap, stacks and anonymous memory count (Linux 4.7 and later), files
    that are mapped, such as a model's weights, do not; nor does what a GPU's driver only reserves.
    Celery's ``worker_max_memory_per_child`` bounds nothing while a job runs, and would load the
    model anew after each job of a model that is larger than it.
    """
    if limit_mb is None:
        return
    if sys.platform != "linux":
        log.warning("APEX_MEMORY_LIMIT_MB is for Linux only; this process has no limit.")
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_mb * 1_000_000
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
