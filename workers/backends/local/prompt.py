"""A request as the text that the model reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from ledger.errors import ContextTooLong, InvalidRequest
from ledger.messages import ChatMessage, Request

RAW = "raw"  # the chat_format of an instance that uses no template

Render = Callable[[Sequence[ChatMessage]], str]


class Prompter:
    """Renders requests for one model. ``render``: its chat template, None where it has none."""

    def __init__(self, render: Render | None) -> None:
        """Tries the template out.

        Raises:
            BackendError: it is broken, or does what it may not.
        """
        self.render = render
        if render is not None:
            with suppress(InvalidRequest):  # it wants other messages, which is its right
                render([ChatMessage(role="user", content="test")])

    def text(self, request: Request) -> str:
        """A prompt is the one message of a user, or goes in as it is where there is no template.

        Raises:
            InvalidRequest: there are messages and no template, or the template refuses them.
        """
        if self.render is not None:
            prompt = ChatMessage(role="user", content=request.prompt or "")
            return self.render(request.messages or (prompt,))
        if request.prompt is not None:
            return request.prompt
        raise InvalidRequest(
            "This model has no chat template; give a prompt instead of messages, "
            "or set chat_format in its instance's table."
        )


def require_room(prompt: Sequence[int], window: int, *, backend: str) -> None:
    """Refuses a prompt after which the model could say nothing.

    Args:
        prompt: its tokens.
        window: tokens of prompt and answer together, at most.
        backend: its name, for errors.

    Raises:
        InvalidRequest: it has no token.
        ContextTooLong: it leaves no room for an answer.
    """
    if not prompt:
        raise InvalidRequest("The prompt is empty, and this model begins with no token.")
    if len(prompt) >= window:
        raise ContextTooLong(
            prompt_tokens=len(prompt), window=window, backend=backend, retriable=False
        )
