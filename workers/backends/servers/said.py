"""A server's own words, as they fit into a sentence."""

from __future__ import annotations

LONGEST = 300


def in_short(words: object) -> str:
    """One line of bounded length, without a full stop."""
    return " ".join(str(words).split())[:LONGEST].rstrip(". ")
