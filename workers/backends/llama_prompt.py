"""A request as the text that the model reads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress

from llama_cpp import llama_cpp as lib

from ledger.errors import InvalidRequest, InvalidSetting
from ledger.messages import ChatMessage, Request
from workers.backends.llama_engine import Engine, failed
from workers.backends.template import ChatTemplate

RAW = "raw"
MOST_NAMES = 1000

Render = Callable[[Sequence[ChatMessage]], str]


class Prompter:
    """Renders requests for one model."""

    def __init__(self, engine: Engine, chat_format: str | None) -> None:
        """
        Args:
            engine: the model.
            chat_format: see :class:`workers.backends.llama_options.LlamaOptions`.

        Raises:
            InvalidSetting: there is no template of this name.
            BackendError: the model's own template is broken, or does what it may not.
        """
        self._render = _renderer(engine, chat_format)
        if self._render is not None:
            self._try_out(self._render)

    def text(self, request: Request) -> str:
        """A prompt is the one message of a user, or goes in as it is where there is no template.

        Raises:
            InvalidRequest: there are messages and no template, or the template refuses them.
        """
        if self._render is not None:
            prompt = ChatMessage(role="user", content=request.prompt or "")
            return self._render(request.messages or (prompt,))
        if request.prompt is not None:
            return request.prompt
        raise InvalidRequest(
            "This model has no chat template; give a prompt instead of messages, "
            "or set chat_format in its instance's table."
        )

    @staticmethod
    def _try_out(render: Render) -> None:
        with suppress(InvalidRequest):  # it wants other messages, which is its right
            render([ChatMessage(role="user", content="test")])


def _renderer(engine: Engine, chat_format: str | None) -> Render | None:
    if chat_format == RAW:
        return None
    if chat_format is not None:
        return _named(chat_format)
    if engine.chat_template is None:
        return None
    return ChatTemplate(engine.chat_template, bos=engine.bos, eos=engine.eos).render


def _named(name: str) -> Render:
    """A template that llama.cpp brings."""
    names = (ctypes.c_char_p * MOST_NAMES)()
    count = lib.llama_chat_builtin_templates(names, MOST_NAMES)
    known = sorted(found.decode() for found in names[:count] if found)
    if name not in known:
        raise InvalidSetting(f"There is no chat_format {name!r}; known: {RAW}, {', '.join(known)}.")

    def render(messages: Sequence[ChatMessage]) -> str:
        if any("\0" in one.text for one in messages):
            raise InvalidRequest("A message has a zero character, which this chat_format cuts at.")
        chat = (lib.llama_chat_message * len(messages))(
            *(lib.llama_chat_message(one.role.encode(), one.text.encode()) for one in messages)
        )
        room = 1024
        while True:
            into = ctypes.create_string_buffer(room)
            size = lib.llama_chat_apply_template(
                name.encode(), chat, len(messages), True, into, room
            )
            if size < 0:
                raise failed(f"llama.cpp could not apply its chat template {name}.")
            if size < room:
                return into.raw[:size].decode()
            room = size + 1

    return render
