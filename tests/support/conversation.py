"""What a conversation with the mock looks like: it ends an answer with a hash of all it read."""

from __future__ import annotations

from ledger.messages import ChatMessage, Request
from ledger.sessions import Turn
from workers.backends.mock import context_hash

ASKED = {"agent_id": "a", "session_id": "s", "history": True}


def mark_of(*contents: str, system: str = "", **who: str) -> str:
    """The mark in an answer of the mock that read this: user, assistant, and so on in turn.

    Whose session it is, if not s of agent a, ``who`` says.
    """
    roles = ["user", "assistant"] * len(contents)
    messages = [
        {"role": role, "content": content} for role, content in zip(roles, contents, strict=False)
    ]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    read = tuple(ChatMessage.model_validate(message) for message in messages)
    asked = {**ASKED, **who}
    return f"[context {context_hash(Request.model_validate({**asked, 'messages': read}))}]"


def said(turn: Turn) -> list[str]:
    """What was said in a turn."""
    return [message.content for message in turn.messages]


def first_digits(mark: str) -> str:
    """What each word begins with in an answer of so many ``tokens``."""
    return mark.removeprefix("[context ")[:4]
