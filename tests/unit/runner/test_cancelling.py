"""Cancelling a job that runs."""

from __future__ import annotations

from ledger.messages import State
from tests.support.runner_scene import Interposed, Scene, yielding
from tests.support.scripted import PROMPT_TOKENS, Script, pieces
from workers.backends import Piece
from workers.runner import Outcome


def test_a_running_job_that_is_cancelled_keeps_what_it_made(scene: Scene) -> None:
    job = scene.submit()

    def cancel() -> None:
        scene.delivered(job, "ab")()
        assert job.cancel() == "stopping"

    backend = Script([*pieces("a", "b"), cancel, *pieces("c"), lambda: None, *pieces(*"defg")])

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.CANCELLED
    assert job.id in why
    record = scene.record(job)
    assert (record.state, record.finish_reason) == (State.CANCELLED, "cancelled")
    assert record.text == scene.text(job)
    assert record.text.startswith("abc")
    assert scene.charged == (PROMPT_TOKENS + len(record.text), 0)


def test_a_cancel_that_comes_while_a_job_makes_way_ends_it(scene: Scene) -> None:
    job, backend = yielding(scene)
    said = []
    ledger = Interposed(scene.ledger, before={"requeue": lambda: said.append(job.cancel())})

    scene.run(job, backend, ledger)

    assert said == ["stopping"]
    assert scene.state(job) is State.CANCELLED


def test_a_backend_that_breaks_off_with_an_error_when_it_is_stopped_was_stopped(
    scene: Scene,
) -> None:
    job = scene.submit()
    backend = Script([])

    def cancel_and_wait() -> None:
        job.cancel()

    def interrupted() -> None:
        assert backend.runs[0].stop.wait(10)

    backend.steps = [cancel_and_wait, Piece("a"), interrupted, ConnectionError("stream was closed")]

    assert scene.run(job, backend)[0] is Outcome.CANCELLED
