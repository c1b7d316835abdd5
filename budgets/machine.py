"""How much memory this machine has left for models."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROC = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
MAC_GPU_SHARE = 0.75  # of a Mac's memory, its GPU gets about this much (recommendedMaxWorkingSet)


def available_bytes(*, on_gpu: bool = False) -> int | None:
    """Memory that this process can still have: the machine's or its control group's, the smaller;
    the page cache counts as free. None where neither is known, or the model goes into a GPU's own
    memory, of which only the GPU's driver knows.
    """
    on_mac = sys.platform == "darwin"  # its GPU uses the machine's memory
    if on_gpu and not on_mac:
        return None
    known = [one for one in (_of_machine(), _of_cgroup(CGROUP)) if one is not None]
    if not known:
        return None
    return int(min(known) * MAC_GPU_SHARE) if on_gpu else min(known)


def _of_machine() -> int | None:
    try:
        for line in PROC.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:  # macOS has no such figure; what is installed is an upper bound
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _of_cgroup(folder: Path) -> int | None:
    """Of a container's version 2 control group."""
    try:
        limit = int((folder / "memory.max").read_text())  # "max" is no number: no limit
        used = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return limit - used + int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))
