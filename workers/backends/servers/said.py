"""A server's own words, as they fit into a sentence."""

from __future__ import annotations

from workers.backends.servers.halves import mended

LONGEST = 300


def in_short(words: object, key: str = "") -> str:
    """One line of bounded length, without a full stop, and without the API's ``key``."""
    line = " ".join(mended(str(words)).split())
    if key:
        line = line.replace(key, "***")
    return line[:LONGEST].rstrip(". ")
