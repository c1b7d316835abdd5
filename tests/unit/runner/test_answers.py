"""An answer that comes to its own end, and wake-ups that lead to none."""

from __future__ import annotations

from ledger.messages import State
from tests.support.runner_scene import Scene
from tests.support.scripted import PROMPT_TOKENS, STOP, Script, pieces
from workers.backends import Piece
from workers.runner import Outcome

# An answer that comes to its own end


def test_an_answer_is_streamed_recorded_and_charged(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)

    outcome = scene.run(job, Script([*pieces("one", " two", " three"), STOP]))

    assert outcome == (Outcome.SUCCEEDED, "")
    record = scene.record(job)
    assert (record.text, record.finish_reason, record.state) == (
        "one two three",
        "stop",
        State.SUCCEEDED,
    )
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (PROMPT_TOKENS, 3)
    assert (record.instance, record.attempt, record.error) == ("inst0", 1, None)
    assert scene.text(job) == record.text
    assert scene.events(job)[-1].kind == "end"
    assert scene.charged == (PROMPT_TOKENS + 3, 0)
    assert record.timings.ttft_ms is not None
    assert 0 <= record.timings.queued_ms <= record.timings.ttft_ms <= record.timings.total_ms


def test_an_answer_without_a_word_about_its_end_has_stopped(scene: Scene) -> None:
    job = scene.submit()

    assert scene.run(job, Script(pieces("a", "b")))[0] is Outcome.SUCCEEDED
    assert (scene.record(job).text, scene.record(job).finish_reason) == ("ab", "stop")


def test_an_empty_answer_succeeds(scene: Scene) -> None:
    job = scene.submit()

    assert scene.run(job, Script([]))[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == ""
    assert scene.record(job).timings.ttft_ms is None
    assert scene.charged == (PROMPT_TOKENS, 0)


def test_text_that_stands_for_no_token_is_delivered_too(scene: Scene) -> None:
    job = scene.submit()

    scene.run(job, Script([Piece("a", 1), Piece("b", 0), Piece("", 2), Piece("c", 0, "stop")]))

    assert (scene.record(job).text, scene.record(job).usage.completion_tokens) == ("abc", 3)


# Wake-ups that do not apply


def test_a_wake_up_for_a_job_that_is_not_there_does_nothing(scene: Scene) -> None:
    assert scene.run("unheard-of", Script([])) == (Outcome.NOOP, "gone")


def test_a_wake_up_for_a_job_in_other_hands_does_nothing(scene: Scene) -> None:
    job = scene.submit()
    scene.take(job)

    backend = Script(pieces("x"))

    assert scene.run(job, backend) == (Outcome.NOOP, "running")
    assert backend.runs == []


def test_a_second_wake_up_for_a_job_that_ended_does_nothing(scene: Scene) -> None:
    job = scene.submit()
    scene.run(job, Script(pieces("a")))
    before = scene.events(job), scene.charged

    assert scene.run(job, Script(pieces("b"))) == (Outcome.NOOP, "succeeded")
    assert (scene.events(job), scene.charged) == before


def test_a_job_that_was_cancelled_while_it_waited_is_left_alone(scene: Scene) -> None:
    job = scene.submit()
    assert job.cancel() == "cancelled"

    assert scene.run(job, Script(pieces("a"))) == (Outcome.NOOP, "cancelled")
