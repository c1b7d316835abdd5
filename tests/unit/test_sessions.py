"""Turns of sessions: what is in one, what the model reads, what fits its window."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.context import turns_that_fit
from ledger import keys
from ledger.messages import ChatMessage, Request
from ledger.sessions import Session, Turn, new_turn


def said(role: Any, *contents: str) -> tuple[ChatMessage, ...]:
    return tuple(ChatMessage(role=role, content=content) for content in contents)


def turn(number: int) -> Turn:
    messages = (*said("user", f"question {number}"), *said("assistant", f"answer {number}"))
    return Turn(job_id=f"job-{number}", messages=messages)


def asking(**fields: Any) -> Request:
    return Request(**{"agent_id": "a", "session_id": "s", "history": True, **fields})


def contents(request: Request) -> list[str]:
    assert request.prompt is None
    return [message.content for message in request.messages or ()]


def test_the_latest_turns_stand_before_the_request() -> None:
    session = Session(turns=(turn(1), turn(2), turn(3)))

    request = session.before(asking(prompt="question 4"), 2)

    assert contents(request) == ["question 2", "answer 2", "question 3", "answer 3", "question 4"]


def test_the_first_turn_reads_as_the_later_ones_do() -> None:
    request = Session().before(asking(prompt="hello"), 0)

    assert request.messages == said("user", "hello")


def test_the_requests_system_message_stands_first_and_replaces_the_sessions() -> None:
    session = Session(system=said("system", "old"), turns=(turn(1),))
    messages = (*said("system", "new"), *said("user", "question 2"))

    request = session.before(asking(messages=messages), 1)

    assert contents(request) == ["new", "question 1", "answer 1", "question 2"]


def test_a_request_without_a_system_message_reads_the_sessions_even_if_no_turn_fits() -> None:
    session = Session(system=said("system", "be terse"), turns=(turn(1),))

    assert contents(session.before(asking(prompt="question 2"), 0)) == ["be terse", "question 2"]


def test_a_turn_is_the_requests_own_messages_and_the_answer() -> None:
    messages = (*said("system", "be terse"), *said("user", "one", "two"))

    new = new_turn(
        "job-1", asking(messages=messages), "answer", turns=9, size=999, retention_ms=1000
    )

    kept = Turn.model_validate_json(new.body)
    assert kept.job_id == "job-1"
    assert kept.messages == (*said("user", "one", "two"), *said("assistant", "answer"))
    assert "terse" in new.system


def test_an_answer_that_calls_tools_is_kept_with_its_calls() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    caps: Any = {"turns": 9, "size": 999, "retention_ms": 1000, "tool_calls": (call,)}

    silent = Turn.model_validate_json(new_turn("j", asking(prompt="x"), "", **caps).body)
    spoken = Turn.model_validate_json(new_turn("j", asking(prompt="x"), "So:", **caps).body)

    assert silent.messages[-1] == ChatMessage(role="assistant", content=None, tool_calls=(call,))
    assert spoken.messages[-1] == ChatMessage(role="assistant", content="So:", tool_calls=(call,))


def test_a_tools_answer_is_not_read_without_the_call_that_it_answers() -> None:
    calling = Turn(job_id="j1", messages=said("user", "weather?"))
    answering = Turn(job_id="j2", messages=(*said("tool", "rain"), *said("assistant", "It rains.")))
    session = Session(turns=(calling, answering, turn(3)))

    latest = session.before(asking(prompt="question 4"), 2)

    assert contents(latest) == ["question 3", "answer 3", "question 4"]
    assert len(contents(session.before(asking(prompt="question 4"), 3))) == 6


def test_a_turn_is_added_to_the_session_of_its_tenant_and_agent() -> None:
    request = asking(prompt="x", tenant="t", agent_id="a:b", session_id="s")

    new = new_turn("job-1", request, "y", turns=9, size=999, retention_ms=1000)

    assert new.session_key == keys.session("t", "a:b", "s") != keys.session("t", "a", "b:s")


@given(sizes=st.lists(st.integers(1, 50), max_size=40), own=st.integers(0, 50), room=st.integers())
def test_as_many_of_the_latest_turns_are_kept_as_fit_and_no_fewer(
    sizes: list[int], own: int, room: int
) -> None:
    counted = []

    def tokens_with(turns: int) -> int:
        counted.append(turns)
        return own + sum(sizes[len(sizes) - turns :])

    fit = turns_that_fit(len(sizes), room, tokens_with)

    assert fit == 0 or tokens_with(fit) <= room
    assert fit == len(sizes) or tokens_with(fit + 1) > room
    assert len(counted) <= 9


@pytest.mark.parametrize("turns", [0, 7])
def test_what_fits_as_a_whole_is_counted_once_at_most(turns: int) -> None:
    counted: list[int] = []

    assert turns_that_fit(turns, 100, lambda n: counted.append(n) or 10) == turns
    assert len(counted) == (turns > 0)
