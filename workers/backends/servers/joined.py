"""Pieces of an answer that go out as one."""

from __future__ import annotations

from dataclasses import replace

from workers.backends.base import Piece


def joined(first: Piece, then: Piece) -> Piece:
    """Two pieces as one; what only one piece of an answer says is ``then``'s."""
    return replace(
        then,
        text=first.text + then.text,
        tokens=first.tokens + then.tokens,
        logprobs=first.logprobs + then.logprobs,
        reasoning=first.reasoning + then.reasoning,
        tool_calls=first.tool_calls + then.tool_calls,
    )
