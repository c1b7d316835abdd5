"""Answers of the ledger to the runner that are lost."""

from __future__ import annotations

import pytest

from ledger.messages import State
from tests.support.runner_scene import Interposed, Scene, yielding
from tests.support.scripted import STOP, Script, pieces
from workers.runner import Outcome


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("step", ["claim", "emit", "hold", "finish"])
def test_a_step_whose_answer_is_lost_is_done_once(scene: Scene, step: str, times: int) -> None:
    job = scene.submit(max_tokens=500)
    backend = Script([*pieces("a", "b", "c"), STOP], prompt_tokens=500)  # held less: a top-up

    outcome, _ = scene.run(job, backend, Interposed(scene.ledger, lost={step: times}))

    assert outcome is Outcome.SUCCEEDED
    assert len(backend.runs) == 1
    assert scene.text(job) == scene.record(job).text == "abc"
    assert scene.facts(job).fence == 1
    assert scene.charged == (503, 0)


def test_a_job_whose_hand_back_was_not_confirmed_waits_again(scene: Scene) -> None:
    job, backend = yielding(scene)

    scene.run(job, backend, Interposed(scene.ledger, lost={"requeue": 2}))

    assert scene.state(job) is State.QUEUED
    assert [event.kind for event in scene.events(job)].count("requeued") == 1
    scene.pop_urgent()
    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == "abcdefgh"


def test_a_job_whose_hand_back_was_not_confirmed_shows_as_given_back(scene: Scene) -> None:
    job, backend = yielding(scene)

    outcome, _ = scene.run(job, backend, Interposed(scene.ledger, lost={"requeue": 1}))

    assert outcome is Outcome.REQUEUED
