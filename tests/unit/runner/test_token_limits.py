"""Answers that run out of tokens: max_tokens, budgets and the window."""

from __future__ import annotations

from budgets import hold_for
from ledger.messages import Request
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import PROMPT_TOKENS, Script, pieces
from workers.backends import Estimate, Piece
from workers.backends.base import Abilities
from workers.runner import Outcome

# Out of tokens


def test_an_answer_ends_at_max_tokens(scene: Scene) -> None:
    job = scene.submit(max_tokens=3)
    backend = Script(pieces(*"abcdefgh"))

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].max_tokens == 3
    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("abc", "length")
    assert record.usage.completion_tokens == 3


def test_an_answer_in_pieces_of_several_tokens_stays_within_max_tokens(scene: Scene) -> None:
    job = scene.submit(max_tokens=3)

    scene.run(job, Script([Piece("ab", 2), scene.delivered(job, "ab"), Piece("cd", 2)]))

    assert scene.record(job).usage.completion_tokens <= 3


def test_what_fits_the_budget_is_delivered_whatever_it_is_joined_with(scene: Scene) -> None:
    # Given room for four tokens, and pieces that are joined while a chunk is in flight
    hold = hold_for(Request(prompt="hello", agent_id="a", max_tokens=4))
    scene.client.episode("e", token_budget=hold)
    job = scene.submit(max_tokens=4, episode_id="e")
    slow = Interposed(scene.ledger)
    backend = Script([], prompt_tokens=hold - 4)
    backend.steps = [
        Piece("a"),
        lambda: slow.before.update(emit=backend.ended.wait),
        Piece("b"),
        Piece("c"),
        Piece("de", 2),
    ]

    # When
    scene.run(job, backend, slow)

    # Then
    assert scene.record(job).text == "abc"


def test_a_prompt_longer_than_was_held_is_topped_up(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    backend = Script(pieces("a"), prompt_tokens=5000)

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].max_tokens == 10
    assert scene.charged == (5001, 0)


def test_a_top_up_that_the_budget_cuts_short_cuts_the_answer(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = Script(pieces(*"abcdefgh"), prompt_tokens=995)

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].max_tokens == 5
    assert (scene.record(job).text, scene.record(job).finish_reason) == ("abcde", "length")
    assert scene.charged == (1000, 0)


def test_a_prompt_that_no_budget_covers_is_denied_before_a_token_is_made(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = Script(pieces("a"), prompt_tokens=1000)

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert "episode:e has used 0 and holds 0 of 1,000 tokens; 1,001 more do not fit." in why
    assert backend.runs == []
    assert scene.charged == (0, 0)


# The window


def test_a_prompt_that_fills_the_window_fails(scene: Scene) -> None:
    job = scene.submit()
    backend = Script(pieces("a"), abilities=Abilities(window=PROMPT_TOKENS))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert "The prompt has 3 tokens and the window 3" in why
    error = scene.record(job).error
    assert error is not None
    assert error["code"] == "context_too_long"
    assert backend.runs == []
    assert scene.charged == (0, 0)


def test_the_answer_gets_what_the_window_leaves(scene: Scene) -> None:
    job = scene.submit(max_tokens=100)
    backend = Script(pieces(*"abcdefgh"), abilities=Abilities(window=PROMPT_TOKENS + 5))

    scene.run(job, backend)

    assert backend.runs[0].max_tokens == 5
    assert (scene.record(job).text, scene.record(job).finish_reason) == ("abcde", "length")


def test_an_estimate_leaves_the_window_to_the_server(scene: Scene) -> None:
    job = scene.submit(max_tokens=100)
    window = Abilities(window=PROMPT_TOKENS)
    backend = Script(pieces("a"), abilities=window, prompt_tokens=Estimate(PROMPT_TOKENS))

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].max_tokens == 100


def test_an_answer_that_goes_on_gets_what_prompt_and_text_leave_of_the_window(
    scene: Scene,
) -> None:
    job = scene.submit(max_tokens=100)
    scene.lose(job, Piece("abc", 3))
    backend = Script(
        pieces(*"defgh"), abilities=Abilities(continues=True, window=PROMPT_TOKENS + 5)
    )

    scene.run(job, backend)

    assert backend.runs[0].max_tokens == 2
