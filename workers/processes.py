"""Processes of this host."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that waits to be reaped does not."""
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state not in ("Z", "X")
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # somebody else's, but there
    except OSError:
        return False
    return True


def kill(pid: int) -> None:
    """Ends the process with SIGKILL, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
