"""The tokens that are held before any tokenizer has seen the prompt."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from budgets.estimate import (
    TOKENS_PER_IMAGE,
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


@given(texts)
def test_a_prompt_is_bounded_by_its_bytes_one_frame_and_what_templates_add(text: str) -> None:
    bytes_of_it = len(text.encode())
    bound = prompt_tokens_bound(asked(prompt=text))
    assert bound == bytes_of_it + TOKENS_PER_MESSAGE + TOKENS_PER_REQUEST


def test_a_letter_of_four_bytes_may_be_four_tokens() -> None:
    one, two = (prompt_tokens_bound(asked(prompt=text)) for text in ("🦀", "🦀🦀"))
    assert two - one == 4


@given(st.lists(texts, min_size=1, max_size=5))
def test_every_message_adds_its_bytes_and_its_frame(contents: list[str]) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    assert prompt_tokens_bound(asked(messages=messages)) == (
        sum(len(content.encode()) + TOKENS_PER_MESSAGE for content in contents) + TOKENS_PER_REQUEST
    )


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


@given(tools)
def test_tool_calls_and_a_choice_count_as_they_are_printed(tool: dict[str, Any]) -> None:
    said = {"role": "assistant", "content": None}
    calls = asked(messages=[{**said, "tool_calls": [{}, tool]}])
    without = asked(messages=[{**said, "tool_calls": [{}]}])
    chosen, plain = asked(prompt="x", tool_choice=tool), asked(prompt="x")
    for more, less in ((calls, without), (chosen, plain)):
        added = prompt_tokens_bound(more) - prompt_tokens_bound(less)
        assert added >= len(json.dumps(tool, indent=4).encode())


def test_the_id_that_a_tools_answer_names_counts() -> None:
    answer = {"role": "tool", "content": "x", "tool_call_id": "call-17"}
    named, plain = asked(messages=[answer]), asked(messages=[{"role": "tool", "content": "x"}])
    assert prompt_tokens_bound(named) == prompt_tokens_bound(plain) + len("call-17")


def test_an_image_counts_as_the_most_that_one_costs_however_large_its_file_is() -> None:
    def shown(url: str, count: int) -> Request:
        image = {"type": "image_url", "image_url": {"url": url}}
        text = {"type": "text", "text": "What is this?"}
        return asked(messages=[{"role": "user", "content": [text, *[image] * count]}])

    plain = prompt_tokens_bound(shown("", 0))
    for url in ("https://example.com/a.png", "data:image/png;base64," + "A" * 100_000):
        assert prompt_tokens_bound(shown(url, 2)) == plain + 2 * TOKENS_PER_IMAGE


def test_prompt_and_answer_are_held_together() -> None:
    request = asked(prompt="hello", max_tokens=100)
    assert hold_for(request) == prompt_tokens_bound(request) + 100
