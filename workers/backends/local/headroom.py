"""A bound on the memory that one step may take, where the system has such a thing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATM = Path("/proc/self/statm")


@contextmanager
def headroom(most_bytes: int) -> Iterator[None]:
    """While it lasts, an allocation past ``most_bytes`` more than this process has now is a
    MemoryError. On systems without ``/proc`` nothing is bounded.
    """
    try:
        import resource

        used = int(_STATM.read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    tight = used + most_bytes
    if resource.RLIM_INFINITY not in (soft, hard):
        tight = min(tight, soft)
    resource.setrlimit(resource.RLIMIT_AS, (tight, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
