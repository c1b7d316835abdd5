"""A session's context is kept for its next turn, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.messages import ChatMessage
from tests.contract.local.conftest import ALSO_IN_NF4, Start
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import Library, answer, asked

STORY = "a long story " * 20


@ALSO_IN_NF4
def test_the_next_turn_of_a_session_reads_only_what_is_new(library: Library, start: Start) -> None:
    backend = start()
    options = {"session_id": "s1", "logit_bias": library.tiny.letters_alone()}
    turns = [ChatMessage(role="user", content="hello")]
    first = asked(messages=tuple(turns), **options)
    said = answer(backend, first)
    turns += [
        ChatMessage(role="assistant", content=text_of(said)),
        ChatMessage(role="user", content="and what then?"),
    ]
    second = asked(messages=tuple(turns), **options)

    pieces = answer(backend, second)

    unread = 0 if library.ahead else 1  # of the answer
    known = backend.count_tokens(first) + tokens_of(said) - unread
    assert backend.counters.reused == pieces[0].cached_tokens == known
    assert backend.counters.read == backend.count_tokens(second) - known
    assert all(piece.cached_tokens == 0 for piece in pieces[1:])


def test_a_prompt_that_begins_as_the_one_before_reads_only_the_rest(backend: Any) -> None:
    turn = asked(STORY, session_id="s1")
    first = answer(backend, turn)
    longer = asked(STORY + "b and c", session_id="s1")

    second = answer(backend, longer)

    assert first[0].cached_tokens == 0
    kept = second[0].cached_tokens
    assert kept >= backend.count_tokens(turn) - 3  # the template's end is no longer the same
    assert backend.counters.read == backend.count_tokens(longer) - kept


def test_a_session_is_kept_while_others_are_served(backend: Any) -> None:
    turn = asked(STORY, session_id="s1")
    before = text_of(answer(backend, turn))
    for number in range(5):
        answer(backend, asked("what else", session_id=f"other-{number}"))

    again = text_of(answer(backend, turn))

    assert again == before
    assert backend.counters.read == 1


@pytest.mark.parametrize(
    "other", [{"session_id": "s2"}, {"agent_id": "b"}, {"tenant": "acme"}, {"session_id": None}]
)
def test_no_other_session_finds_what_one_has_read(
    backend: Any, start: Start, other: dict[str, str | None]
) -> None:
    secret = "the secret is sesame. " * 10
    owner = {"agent_id": "a", "session_id": "s1", "tenant": "default"}
    answer(backend, asked(secret, **owner))

    same_words = asked(secret, **{**owner, **other})
    text = text_of(answer(backend, same_words))

    assert backend.counters.reused == 0
    assert text == text_of(answer(start(), same_words))


def test_without_a_session_nothing_is_kept(backend: Any) -> None:
    answer(backend, asked(STORY))
    answer(backend, asked(STORY))

    assert backend.counters.reused == 0


@ALSO_IN_NF4
def test_interleaved_sessions_answer_as_if_each_were_alone(library: Library, start: Start) -> None:
    requests = [
        asked(f"question {n % 7}", session_id=f"s{n % 5}", max_tokens=library.turn)
        for n in range(40)
    ]
    shared = start()

    together = [text_of(answer(shared, one)) for one in requests]

    fresh = start(kept_states=0)
    alone = []
    for one in requests:
        answer(fresh, asked("empties the cache", max_tokens=1))
        alone.append(text_of(answer(fresh, one)))
    assert together == alone


def test_kept_sessions_stay_within_their_number(start: Start) -> None:
    backend = start(kept_states=2)
    for number in range(4):
        answer(backend, asked(STORY, session_id=f"s{number}"))

    answer(backend, asked(STORY, session_id="s2"))
    assert backend.counters.read == 1
    answer(backend, asked(STORY, session_id="s0"))
    assert backend.counters.reused == 0


def test_without_room_no_session_is_kept(start: Start) -> None:
    backend = start(kept_mib=0)
    for session in ("s1", "s2", "s1"):
        answer(backend, asked(STORY, session_id=session))

    assert backend.counters.reused == 0


@pytest.mark.parametrize("named", ["s1", None])
@pytest.mark.parametrize("put_away", [True, False])
def test_a_session_that_is_to_be_forgotten_is_read_anew(
    backend: Any, named: str | None, put_away: bool
) -> None:
    for session in ("s2", "s1"):
        answer(backend, asked(STORY, session_id=session))
    answer(backend, asked(STORY, session_id="s1", tenant="acme"))
    if not put_away:
        answer(backend, asked(STORY, session_id="s1"))

    backend.forget("default", named)

    answer(backend, asked(STORY, session_id="s1"))
    assert backend.counters.reused == 0
    answer(backend, asked(STORY, session_id="s2"))
    assert (backend.counters.reused > 0) == (named == "s1")
    answer(backend, asked(STORY, session_id="s1", tenant="acme"))
    assert backend.counters.reused > 0
