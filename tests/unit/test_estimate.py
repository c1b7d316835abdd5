"""The tokens that are held before any tokenizer has seen the prompt."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from budgets.estimate import (
    TOKENS_PER_MESSAGE,
    TOKENS_PER_REQUEST,
    hold_for,
    prompt_tokens_bound,
)
from ledger.messages import Request, parse_request

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
tools = st.dictionaries(texts, texts | st.integers() | st.lists(texts, max_size=3), max_size=3)


def asked(**fields: Any) -> Request:
    return parse_request(**{"agent_id": "a", "max_tokens": 10, **fields})


@settings(deadline=None)
@given(texts)
def test_a_prompt_is_bounded_by_its_bytes_one_frame_and_what_templates_add(text: str) -> None:
    bytes_of_it = len(text.encode())
    bound = prompt_tokens_bound(asked(prompt=text))
    assert bound == bytes_of_it + TOKENS_PER_MESSAGE + TOKENS_PER_REQUEST


def test_a_letter_of_four_bytes_may_be_four_tokens() -> None:
    one, two = (prompt_tokens_bound(asked(prompt=text)) for text in ("🦀", "🦀🦀"))
    assert two - one == 4


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=5))
def test_every_message_adds_its_bytes_and_its_frame(contents: list[str]) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    assert prompt_tokens_bound(asked(messages=messages)) == (
        sum(len(content.encode()) + TOKENS_PER_MESSAGE for content in contents) + TOKENS_PER_REQUEST
    )


@settings(deadline=None)
@given(tools)
def test_tools_and_schemas_count_however_a_template_prints_them(tool: dict[str, Any]) -> None:
    plain = prompt_tokens_bound(asked(prompt="x"))
    for fields in ({"tools": [tool]}, {"response_format": tool}):
        added = prompt_tokens_bound(asked(prompt="x", **fields)) - plain
        for indent in (None, 2, 4):
            for ascii_only in (True, False):
                printed = json.dumps(tool, indent=indent, ensure_ascii=ascii_only)
                assert added >= len(printed.encode())


def test_a_speakers_name_counts() -> None:
    named = asked(messages=[{"role": "user", "content": "x", "name": "Ada"}])
    plain = asked(messages=[{"role": "user", "content": "x"}])
    assert prompt_tokens_bound(named) == prompt_tokens_bound(plain) + 3


def test_prompt_and_answer_are_held_together() -> None:
    request = asked(prompt="hello", max_tokens=100)
    assert hold_for(request) == prompt_tokens_bound(request) + 100
