"""An episode's tokens come to their end."""

from __future__ import annotations

from budgets import hold_for
from ledger.messages import Request
from producer import Job
from tests.support.runner_scene import Scene
from tests.support.scripted import Letters, Script, Step
from workers.backends import Piece
from workers.runner import Outcome


def lows(scene: Scene, job: Job) -> list[tuple[int, int]]:
    """Tokens spent and limit, as readers of the job are told."""
    found = [event for event in scene.events(job) if event.kind == "budget_low"]
    return [(event.used, event.limit) for event in found]


def letter_by_letter(scene: Scene, job: Job, text: str) -> Script:
    """A backend whose letters are in the stream one by one."""
    steps: list[Step] = []
    for number, letter in enumerate(text, start=1):
        steps += [Piece(letter), scene.delivered(job, text[:number])]
    return Script(steps)


def test_readers_are_told_once_that_an_episodes_budget_is_low(scene: Scene) -> None:
    # Given an episode in which a job has spent 3 + 7 tokens, and another of the same
    hold = hold_for(Request(prompt="hello", agent_id="a", max_tokens=10))
    episode = scene.client.episode("e", token_budget=10 + hold)  # 97, of which 80 % are 77.6
    first = scene.submit(max_tokens=10, episode_id="e")
    scene.run(first, letter_by_letter(scene, first, "abcdefg"))
    assert episode.get_stats()["budget_low"] is False
    job = scene.submit(max_tokens=10, episode_id="e")
    backend = letter_by_letter(scene, job, "abcde")
    backend.prompt_tokens = 66

    # When
    scene.run(job, backend)

    # Then
    assert lows(scene, first) == []
    assert lows(scene, job) == [(78, 97)]
    kinds = [event.kind for event in scene.events(job)]
    assert kinds == ["chunk"] * 2 + ["budget_low"] + ["chunk"] * 3 + ["end"]
    assert [event.seq for event in scene.events(job)] == list(range(1, 8))
    assert episode.get_stats()["budget_low"] is True


def test_the_tokens_of_jobs_that_still_run_count_too(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    other = scene.submit(max_tokens=10, episode_id="e")
    job = scene.submit(max_tokens=10, episode_id="e")
    backend = letter_by_letter(scene, job, "abc")
    backend.prompt_tokens = 200

    def other_reads_much() -> None:
        long = letter_by_letter(scene, other, "a")
        long.prompt_tokens = 600
        scene.run(other, long)

    backend.steps.insert(2, other_reads_much)
    scene.run(job, backend)

    assert lows(scene, other) == [(802, 1000)]  # 601 of its own, 201 of the one that runs
    assert lows(scene, job) == [(803, 1000)]


def test_who_streams_the_text_is_not_disturbed(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = letter_by_letter(scene, job, "abc")
    backend.prompt_tokens = 900
    scene.run(job, backend)

    heard = list(job.stream(timeout_s=5))

    assert "".join(event.text for event in heard) == "abc"
    assert [event.kind for event in heard].count("budget_low") == 1


def test_a_further_attempt_does_not_tell_it_again(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e", priority="LOW")

    def urgent() -> None:
        scene.delivered(job, "abc")()
        scene.submit(agent_id="b", priority="URGENT")

    backend = Letters("abcdefgh")
    backend.prompt_tokens = 900
    backend.at = {3: urgent, 4: backend.stopped}
    while scene.run(job, backend)[0] is Outcome.REQUEUED:
        assert len(backend.runs) < 20

    assert len(backend.runs) > 1
    assert scene.record(job).text == "abcdefgh"
    assert len(lows(scene, job)) == 1


def test_an_answer_that_its_episodes_last_tokens_cut_short_lands_softly(scene: Scene) -> None:
    # Given room for the prompt and ten tokens
    episode = scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = letter_by_letter(scene, job, "abcdefghijkl")
    backend.prompt_tokens = 990

    # When
    outcome = scene.run(job, backend)

    # Then
    assert outcome == (Outcome.SUCCEEDED, "")
    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("abcdefghij", "length")
    assert scene.text(job) == record.text
    assert lows(scene, job) == [(991, 1000)]  # with the first token, and not again
    assert episode.get_stats()["budget_low"] is True
