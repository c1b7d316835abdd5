"""Servers that tell only with the answer how many tokens the prompt had."""

from __future__ import annotations

from budgets import hold_for
from ledger.messages import Request
from tests.support.runner_scene import Scene
from tests.support.scripted import STOP, Script
from workers.backends import Piece
from workers.runner import Outcome

HELD = hold_for(Request(prompt="hello", agent_id="a", max_tokens=10))


def test_the_servers_count_takes_the_place_of_the_estimate(scene: Scene) -> None:
    for number, told in enumerate((2, 40), start=1):
        job = scene.submit(max_tokens=10, agent_id=f"a{number}", tenant=f"t{number}")
        backend = Script([Piece("a", prompt_tokens=told), Piece("b"), STOP], prompt_tokens=30)

        scene.run(job, backend)

        usage = scene.record(job).usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (told, 2)
        assert scene.facts(job).prompt_tokens == told


def test_a_count_that_comes_last_is_what_is_charged(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    last = Piece("", 0, "stop", prompt_tokens=7)

    scene.run(job, Script([Piece("a"), Piece("b"), last], prompt_tokens=30))

    assert scene.record(job).usage.prompt_tokens == 7
    assert scene.charged == (9, 0)


def test_a_count_that_only_confirms_the_estimate_makes_no_chunk(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    last = Piece("", 0, "stop", prompt_tokens=30)

    scene.run(job, Script([Piece("a"), last], prompt_tokens=30))

    assert [event.kind for event in scene.events(job)] == ["chunk", "end"]


def test_a_count_that_what_is_held_does_not_reach_for_ends_the_answer(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    told = Piece("c", prompt_tokens=HELD + 1000)

    outcome, _ = scene.run(job, Script([Piece("a"), Piece("b"), told, Piece("d"), STOP]))

    assert outcome is Outcome.SUCCEEDED
    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("ab", "length")
    assert record.usage.total_tokens == HELD
    assert scene.charged == (HELD, 0)


def test_a_count_leaves_the_answer_the_rest_of_what_is_held(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    told = Piece("a", prompt_tokens=HELD - 3)

    scene.run(job, Script([told, *[Piece(letter) for letter in "bcdef"], STOP]))

    assert scene.record(job).text == "abc"
    assert scene.charged == (HELD, 0)


def test_an_answer_that_is_complete_when_the_count_is_too_high_stays_so(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    last = Piece("", 0, "stop", prompt_tokens=HELD + 1000)

    scene.run(job, Script([Piece("a"), Piece("b"), last]))

    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("ab", "stop")
    assert scene.charged == (HELD, 0)


def test_tokens_that_are_told_at_the_end_count(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)

    scene.run(job, Script([Piece("a", 0), Piece("b", 0), Piece("", 5, "stop")]))

    assert scene.record(job).usage.completion_tokens == 5
    assert scene.record(job).finish_reason == "stop"


def test_more_tokens_told_at_the_end_than_were_asked_for_lose_no_text(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)

    scene.run(job, Script([Piece("a", 0), Piece("b", 0), Piece("", 50, "stop")]))

    record = scene.record(job)
    assert (record.text, record.finish_reason, record.usage.completion_tokens) == ("ab", "stop", 10)


def test_the_episode_counts_what_the_server_counts(scene: Scene) -> None:
    with scene.client.episode("e", token_budget=5000) as episode:
        job = scene.submit(max_tokens=10, episode_id="e")

        scene.run(job, Script([Piece("a", prompt_tokens=9), STOP], prompt_tokens=30))

        assert episode.get_stats()["tokens_used"] == 10
