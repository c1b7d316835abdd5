"""How messages become text for a model in Hugging Face's format."""

from __future__ import annotations

from typing import Any

from workers.backends.local.prompt import RAW, Render
from workers.backends.local.template import ChatTemplate


def renderer(tokenizer: Any, chat_format: str | None, *, backend: str) -> Render | None:
    """By the chat template of its tokenizer, of several the default one; None where there is none.

    Args:
        tokenizer: of transformers.
        chat_format: ``raw`` for no template.
        backend: its name, for errors.

    Raises:
        BackendError: the template is broken.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if chat_format == RAW or not isinstance(template, str):
        return None
    bos, eos = (str(one or "") for one in (tokenizer.bos_token, tokenizer.eos_token))
    return ChatTemplate(template, bos=bos, eos=eos, backend=backend).render
