"""What a library says, as it fits into a sentence."""

from __future__ import annotations

LONGEST = 300  # characters


def first_line(said: object) -> str:
    """The first line of ``said``, without what ends it; the kind of an error that says nothing."""
    line = str(said).strip().partition("\n")[0]
    return line[:LONGEST].rstrip(".: ") or type(said).__name__
