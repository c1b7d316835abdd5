"""How much memory this machine has left for models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
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


def gpu_bytes(env: Mapping[str, str] = os.environ) -> int | None:
    """Free memory of the NVIDIA GPUs that a process with ``env`` may use, by their driver's tool;
    None where there is no such tool or GPU.
    """
    tool = shutil.which("nvidia-smi", path=env.get("PATH"))
    if tool is None:
        return None
    query = [tool, "--query-gpu=index,memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        free = dict(line.split(", ") for line in said.strip().splitlines())
        visible = env.get("CUDA_VISIBLE_DEVICES", "").replace(" ", "")
        if visible.replace(",", "").isdecimal():  # and not the GPUs' ids
            free = {index: mib for index, mib in free.items() if index in visible.split(",")}
        return sum(int(mib) for mib in free.values()) << 20 if free else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


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
