"""What a library says, as it fits into a sentence."""

from __future__ import annotations

LONGEST = 300  # characters


def first_line(said: object) -> str:
    """The first line of ``said``, without what ends it; the kind of an error that says nothing, or
    only which key is missing.
    """
    line = str(said).strip().partition("\n")[0][:LONGEST].rstrip(".: ")
    kind = type(said).__name__ if isinstance(said, Exception) else "it says nothing of it"
    if isinstance(said, KeyError):
        return f"{kind} {line}"
    return line or kind
