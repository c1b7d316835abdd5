"""Prompts are counted by the library itself, and framed by its templates."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")

import llama_cpp

from ledger.errors import InvalidSetting
from ledger.messages import ChatMessage
from tests.contract.local.conftest import Start
from tests.support.local_models import answer, asked
from workers.backends.llama.backend import LlamaCppBackend


def test_the_count_is_what_the_model_reads_by_its_own_tokenizer(
    backend: LlamaCppBackend, model: Path
) -> None:
    own = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    messages = (
        ChatMessage(role="system", content="Be brief. \t 日本 🙂"),
        ChatMessage(role="user", content="the thing and the other"),
    )
    rendered = "".join(f"<|{one.role}|>{one.content}<|end|>" for one in messages) + "<|assistant|>"
    request = asked(messages=messages, max_tokens=1)

    counted = backend.count_tokens(request)
    answer(backend, request)

    assert counted == len(own.tokenize(rendered.encode(), add_bos=True, special=True))
    assert backend.counters.read == counted
    own.close()


def test_a_template_of_llama_cpp_is_used_by_its_name(start: Start) -> None:
    assert start(chat_format="chatml").count_tokens(asked("x")) > start().count_tokens(asked("x"))
    with pytest.raises(InvalidSetting, match=r"no chat_format 'chatnl'; known: raw, .*chatml"):
        start(chat_format="chatnl")
