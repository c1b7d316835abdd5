"""What a model is given to read, and how much of it it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.errors import ContextTooLong, InvalidRequest
from ledger.messages import ChatMessage
from tests.contract.local.conftest import Start
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import Library, answer, asked
from tests.support.sentences import is_one_sentence

HELLO = ChatMessage(role="user", content="hello")


def test_a_prompt_is_a_users_message(backend: Any) -> None:
    assert text_of(answer(backend, asked("hello"))) == text_of(
        answer(backend, asked(messages=(HELLO,)))
    )


def test_a_raw_prompt_goes_in_as_it_is(library: Library, start: Start) -> None:
    raw = start(chat_format="raw")
    framed = "<|user|>hello<|end|><|assistant|>"

    assert text_of(answer(raw, asked(framed if library.begins else f"<s>{framed}"))) == text_of(
        answer(start(), asked("hello"))
    )


@pytest.mark.parametrize("why", ["it has no template", "raw"])
def test_without_a_template_a_prompt_goes_in_as_it_is_and_messages_are_refused(
    library: Library, start: Start, tmp_path: Path, why: str
) -> None:
    if why == "raw":
        backend = start(chat_format="raw")
    else:
        backend = start(library.write(tmp_path, "bare", chat_template=None))

    assert backend.count_tokens(asked("x y")) == library.begins + 2  # "x", " y"
    with pytest.raises(InvalidRequest, match="no chat template") as caught:
        backend.count_tokens(asked(messages=(HELLO,)))
    assert is_one_sentence(caught.value)


def test_prompt_and_answer_stay_within_the_window(start: Start) -> None:
    small = start(ctx_tokens=64)
    request = asked("x" * 40, max_tokens=500)
    pieces = answer(small, request)

    assert small.abilities.window == 64
    assert small.count_tokens(request) + tokens_of(pieces) == 64
    assert pieces[-1].finish_reason == "length"
    with pytest.raises(ContextTooLong) as caught:
        answer(small, asked("x" * 70))
    assert (caught.value.window, caught.value.retriable) == (64, False)


def test_the_window_is_the_models_where_that_is_smaller(library: Library, start: Start) -> None:
    assert start(ctx_tokens=100_000).abilities.window == library.tiny.TRAINED_CTX
