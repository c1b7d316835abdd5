"""Characters that come in halves.

JSON may carry each half of a pair of UTF-16 in a text of its own. Servers and proxies in JavaScript
send such texts where they cut one between two of its units; no UTF-8 has them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workers.backends.base import Piece


def mended(text: str) -> str:
    """The text with its halves joined; one that is alone becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Halves:
    """Those of one answer: the first half at the end of a piece waits for the second."""

    def __init__(self) -> None:
        self._text = self._reasoning = self._arguments = ""

    def whole(self, piece: Piece) -> Piece:
        """The piece with whole characters only."""
        text, self._text = _cut(self._text + piece.text)
        reasoning, self._reasoning = _cut(self._reasoning + piece.reasoning)
        calls = tuple(self._call(call) for call in piece.tool_calls)
        return replace(piece, text=text, reasoning=reasoning, tool_calls=calls)

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function") or {}
        if not isinstance(function.get("arguments"), str):
            return call
        arguments, self._arguments = _cut(self._arguments + function["arguments"])
        return {**call, "function": {**function, "arguments": arguments}}


def _cut(text: str) -> tuple[str, str]:
    """What is whole of it, and the first half that it ends with."""
    if "\ud800" <= text[-1:] <= "\udbff":
        return mended(text[:-1]), text[-1]
    return mended(text), ""
