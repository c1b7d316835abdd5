"""The chat template of a model in a GGUF file, or one that llama.cpp brings."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from llama_cpp import llama_cpp as lib

from ledger.errors import InvalidRequest, InvalidSetting
from ledger.messages import ChatMessage
from workers.backends.llama.engine import Engine, failed
from workers.backends.local.prompt import RAW, Render
from workers.backends.local.template import ChatTemplate

MOST_NAMES = 1000


def renderer(engine: Engine, chat_format: str | None) -> Render | None:
    """How messages become text; None for a model that reads prompts as they are.

    Args:
        engine: the model.
        chat_format: see :class:`workers.backends.llama.options.LlamaOptions`.

    Raises:
        InvalidSetting: there is no template of this name.
        BackendError: the model's own template is broken.
    """
    if chat_format == RAW:
        return None
    if chat_format is not None:
        return _named(chat_format)
    if engine.chat_template is None:
        return None
    return ChatTemplate(
        engine.chat_template, bos=engine.bos, eos=engine.eos, backend="llama_cpp"
    ).render


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
