"""Whether a model and its context fit into memory, asked before they are loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ledger.errors import InvalidSetting
from workers.backends.llama_header import Header

GB = 1e9
PROC = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def refuse_if_too_large(
    path: Path, header: Header, *, weight_bytes: int, ctx_tokens: int, available: int | None
) -> None:
    """Compares weights + KV cache with the memory that is left.

    Args:
        path: the model's file, for the sentence.
        header: the file's header.
        weight_bytes: size of all the model's files. They are mapped, so instances share them.
        ctx_tokens: length of the context.
        available: bytes of memory, None if that is not known.

    Raises:
        InvalidSetting: they do not fit; the sentence has the arithmetic.
    """
    kv_bytes = header.kv_bytes_per_token() * ctx_tokens
    if available is None or weight_bytes + kv_bytes <= available:
        return
    raise InvalidSetting(
        f"{path.name} needs {(weight_bytes + kv_bytes) / GB:.1f} GB "
        f"(weights {weight_bytes / GB:.1f} + {ctx_tokens} tokens of context {kv_bytes / GB:.1f}) "
        f"and {available / GB:.1f} GB of memory are left; "
        "take a smaller model or quantisation, or lower APEX_LLM_CTX_TOKENS."
    )


def available_bytes(*, on_gpu: bool = False) -> int | None:
    """Memory that this process can still have: the machine's or its control group's, the smaller;
    the page cache counts as free. None where neither is known, or the model goes into a GPU's own
    memory, of which llama.cpp itself knows.
    """
    if on_gpu and sys.platform != "darwin":  # a Mac's GPU uses the machine's memory
        return None
    known = [one for one in (_of_machine(), _of_cgroup(CGROUP)) if one is not None]
    return min(known) if known else None


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
