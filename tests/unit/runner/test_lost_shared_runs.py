"""Equal requests of which one loses its process: who waits for it, and who runs himself."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import keys
from producer import Job
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import STOP, Letters, Script, never, pieces
from workers.backends import Piece
from workers.runner import Outcome

ASKED: dict[str, Any] = {"cache": True}


def test_one_whose_run_was_lost_looks_for_itself(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)

    def meet() -> None:
        assert scene.run(second, never())[0] is Outcome.REQUEUED
        raise SystemExit  # the process ends, and wakes nobody

    with pytest.raises(SystemExit):
        scene.run(first, Script([Piece("a"), meet]))
    assert scene.woken() == []
    assert scene.paused() == [second.id]
    scene.wake(second)
    assert scene.run(second, never())[0] is Outcome.REQUEUED  # the first one has attempts left
    scene.give_back(first)
    scene.run(first, Letters("abc"))
    assert scene.run(second, never())[0] is Outcome.SUCCEEDED


def lose(scene: Scene, job: Job, *steps: Any) -> None:
    """The job's process ends after these steps, and its next attempt is to follow."""

    def end() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        scene.run(job, Script([*steps, end]))
    scene.give_back(job)


def test_nobody_waits_for_one_that_was_given_to_another_instance(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    lose(scene, first)
    scene.ledger.redis.hset(keys.job(first.id), "instance", "inst1")

    assert scene.run(second, Script([Piece("b"), STOP]))[0] is Outcome.SUCCEEDED


def test_nobody_waits_for_one_that_waits_for_another_instance(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    lose(scene, first)
    scene.ledger.redis.hset(keys.job(second.id), "instance", "inst1")

    answering = Script([Piece("b"), STOP])
    assert scene.run(second, answering, instance="inst1")[0] is Outcome.SUCCEEDED


def test_one_that_waits_to_run_again_is_waited_for_at_its_own_instance(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    lose(scene, first)

    assert scene.run(second, never())[0] is Outcome.REQUEUED


def test_one_that_is_waited_for_and_finds_an_answer_wakes_the_others(scene: Scene) -> None:
    # Given one that lost its process, and one that waits for it
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    lose(scene, first, lambda: scene.run(second, never()))
    # When one of another rank leaves the answer
    urgent = scene.submit(**ASKED, priority="URGENT")
    scene.run(urgent, Script([Piece("x"), STOP]))
    assert second.id not in scene.woken()
    assert scene.run(first, never())[0] is Outcome.SUCCEEDED
    # Then
    assert second.id in scene.woken()


def test_a_reader_gets_the_answer_once_whenever_a_process_is_killed(scene: Scene) -> None:
    # Given
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    scene.run(first, Script([*pieces("one ", "two"), STOP]))

    def killed() -> None:
        raise SystemExit

    # When
    with pytest.raises(SystemExit):
        scene.run(second, never(), Interposed(scene.ledger, before={"finish": killed}))
    scene.give_back(second)
    scene.run(second, never(), Interposed(scene.ledger, lost={"finish": 2}))
    # Then
    assert scene.text(second) == scene.record(second).text == "one two"
