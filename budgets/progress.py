"""What counts as progress of an episode when its caller reports it. Tokens count by themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ledger.environment import nearest
from ledger.errors import InvalidRequest

KINDS = (
    "tests_discovered",
    "tests_run",
    "file_written",
    "patch_applied",
    "topology_switched",
    "llm_response",  # one that did not come through apexq: of its own it sees the tokens
    "custom",
)
MOST_BYTES = 500  # of the facts; they are logged with every heartbeat


def check_kind(kind: Any) -> None:
    """Refuses what is no kind of progress, such as the tick of a timer.

    Raises:
        InvalidRequest: one sentence that names the nearest kind and all others.
    """
    if kind not in KINDS:
        raise InvalidRequest(
            f"Unknown kind of progress {str(kind)[:80]!r}; did you mean "
            f"{nearest(str(kind)[:80], KINDS)!r}? Known: {', '.join(KINDS)}."
        )


def packed(facts: Mapping[str, Any]) -> str:
    """The facts as JSON; empty if there are none.

    Raises:
        InvalidRequest: JSON cannot carry them, or they are too long.
    """
    if not facts:
        return ""
    try:
        text = json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"JSON cannot carry the facts of this progress ({error}).") from None
    if size > MOST_BYTES:
        raise InvalidRequest(
            f"The facts of this progress have {size:,} bytes and may have {MOST_BYTES}; "
            "report less of them."
        )
    return text
