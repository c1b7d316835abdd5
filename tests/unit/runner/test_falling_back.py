"""Jobs that go on with another model, because their own cannot answer them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import instances, keys
from ledger.errors import (
    ApexError,
    BackendAuth,
    BackendError,
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
)
from ledger.messages import State
from ledger.settings import Settings
from producer import Job
from tests.support.registering import OWNER, register
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import PROMPT_TOKENS, STOP, Letters, Script
from workers.backends import Piece
from workers.runner import Outcome

MODELS = {"inst0": "big", "inst1": "middle", "inst2": "small"}
GONE = ModelNotFound(backend="mock", model="big", said="no such model")
KEY = BackendAuth(backend="mock", said="bad key")
BUSY = BackendError("The server said 503.", backend="mock", retriable=True)


@pytest.fixture
def scene(settings: Settings) -> Iterator[Scene]:
    tables = [{"name": name, "model": model, "backend": "mock"} for name, model in MODELS.items()]
    values = settings.model_dump() | {
        "instances": tables,
        "fallbacks": {"big": ("middle", "small")},
    }
    scene = Scene(Settings(**values))
    for name, model in MODELS.items():
        register(scene.ledger, name, model=model)
        scene.ledger.run(instances.set_state(name, OWNER, "ready"))
    yield scene
    scene.close()


def ask(scene: Scene, **options: object) -> Job:
    return scene.submit(model="big", **options)


def wake_ups(scene: Scene, instance: str) -> int:
    return scene.ledger.redis.llen(keys.queue(instance) + f"{keys.PRIORITY_SEPARATOR}6")


@pytest.mark.parametrize("error", [GONE, KEY], ids=["model", "key"])
def test_a_job_whose_model_cannot_answer_goes_to_the_next_one(
    scene: Scene, error: ApexError
) -> None:
    # Given
    job = ask(scene)
    # When
    outcome, why = scene.run(job, Script([error]))
    # Then
    assert outcome is Outcome.REQUEUED
    assert why == error.message.rstrip(".")
    assert (scene.facts(job).instance, scene.facts(job).tried) == ("inst1", ("big",))
    assert wake_ups(scene, "inst1") == 1
    # When that one answers
    scene.run(job, Letters("abc"), instance="inst1")
    # Then
    result = job.result(timeout=5)
    assert (result.text, result.instance, result.attempt) == ("abc", "inst1", 1)
    requeued = scene.events(job)[0]
    assert (requeued.kind, requeued.instance, requeued.failed) == ("requeued", "inst0", True)
    assert requeued.reason == f"{why}; middle is tried next"
    assert requeued.at_ms > 0


def test_a_job_that_is_given_up_by_its_backends_errors_goes_to_the_next_one(scene: Scene) -> None:
    job = ask(scene)
    attempts = scene.settings.max_attempts
    outcomes = [scene.run(job, Script([BUSY]))[0] for _ in range(attempts)]

    assert outcomes == [Outcome.REQUEUED] * attempts
    assert scene.facts(job).instance == "inst1"
    # It has all its attempts there.
    for _ in range(attempts - 1):
        scene.run(job, Script([BUSY]), instance="inst1")
    assert scene.run(job, Letters("abc"), instance="inst1")[0] is Outcome.SUCCEEDED


def test_when_no_model_is_left_it_ends_with_the_last_error(scene: Scene) -> None:
    job = ask(scene)
    for instance in MODELS:
        outcome, why = scene.run(job, Script([KEY]), instance=instance)

    assert (outcome, "bad key" in why) == (Outcome.FAILED, True)
    error = scene.record(job).error
    assert error is not None
    assert (error["code"], error["facts"]["said"]) == ("backend_auth", "bad key")
    assert scene.facts(job).tried == ("big", "middle")


def test_a_job_that_is_given_up_everywhere_tells_of_all_its_attempts(scene: Scene) -> None:
    job = ask(scene)
    scene.run(job, Script([GONE]))
    scene.run(job, Script([GONE]), instance="inst1")
    for _ in range(scene.settings.max_attempts):
        scene.run(job, Script([BUSY]), instance="inst2")

    record = scene.record(job)
    assert record.state is State.DEAD
    assert record.error is not None
    tried = [one["instance"] for one in record.error["facts"]["history"]]
    assert tried == ["inst0", "inst1", "inst2", "inst2", "inst2"]


def test_what_was_made_is_void_and_stays_charged(scene: Scene) -> None:
    # Given an answer that breaks off
    job = ask(scene, max_tokens=10)
    scene.run(job, Script([Piece("a"), Piece("b"), KEY]))
    backend = Letters("xyz")
    # When another model begins
    scene.run(job, backend, instance="inst1")
    # Then
    assert backend.runs[0].continue_from == ""
    kinds = [event.kind for event in scene.events(job)]
    assert kinds.count("reset") == 1
    assert kinds.index("reset") == kinds.index("requeued") + 1
    result = job.result(timeout=5)
    assert result.text == scene.text(job) == "xyz"
    assert scene.charged == (PROMPT_TOKENS + 5, 0)


def test_nothing_is_void_where_nothing_was_made(scene: Scene) -> None:
    job = ask(scene)

    scene.run(job, Script([KEY]))

    assert [event.kind for event in scene.events(job)] == ["requeued"]


@pytest.mark.parametrize(("steps", "goes_on"), [([], True), ([Piece("a")], False)])
def test_its_time_in_the_queue_goes_on_where_nothing_was_made(
    scene: Scene, steps: list[Piece], goes_on: bool
) -> None:
    job = ask(scene, queue_timeout_s=100)

    scene.run(job, Script([*steps, KEY]))

    until_ms = scene.ledger.redis.zscore(keys.EXPIRING, job.id)
    assert until_ms == (scene.facts(job).submitted_ms + 100_000 if goes_on else None)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("No."),
        ContextTooLong(prompt_tokens=2, window=1),
        ContentRefused(said="no"),
        BackendError("No.", retriable=False),
    ],
    ids=lambda error: error.code,
)
def test_what_another_model_would_not_put_right_ends_the_job(
    scene: Scene, error: ApexError
) -> None:
    job = ask(scene)

    assert scene.run(job, Script([error]))[0] is Outcome.FAILED
    assert scene.record(job).instance == "inst0"


def test_a_request_for_one_instance_alone_stays_there(scene: Scene) -> None:
    job = ask(scene, instance="inst0")

    assert scene.run(job, Script([KEY]))[0] is Outcome.FAILED


def test_a_job_that_was_cancelled_meanwhile_ends(scene: Scene) -> None:
    job = ask(scene)

    assert scene.run(job, Script([job.cancel, KEY]))[0] is Outcome.CANCELLED
    assert wake_ups(scene, "inst1") == 0


def test_a_model_that_is_drained_is_passed_over(scene: Scene) -> None:
    scene.client.drain("inst1")
    job = ask(scene)

    scene.run(job, Script([KEY]))

    assert scene.facts(job).instance == "inst2"


def test_an_instance_that_closes_at_this_very_moment_gets_nothing(scene: Scene) -> None:
    # Given one that is closed between the look at the registry and the move
    job = ask(scene)
    closing = {
        "fall_back": lambda: scene.ledger.redis.hset(keys.entry("inst1"), "closed", "absent")
    }

    scene.run(job, Script([KEY]), Interposed(scene.ledger, before=closing))

    assert scene.facts(job).instance == "inst2"


def test_it_is_before_others_that_wait_there(scene: Scene) -> None:
    for number in range(5):
        scene.submit(model="middle", agent_id=f"b{number}")
    job = ask(scene)

    scene.run(job, Script([KEY]))

    waiting = scene.ledger.redis.zrange(keys.waiting("inst1"), 0, -1)
    assert waiting[0] == job.id


def test_it_does_not_come_back_when_instances_come_and_go(scene: Scene) -> None:
    job = ask(scene)
    scene.run(job, Script([KEY]))

    scene.client.drain("inst1")

    assert scene.facts(job).instance == "inst1"  # nobody else has this model


def test_a_reply_that_is_lost_changes_nothing(scene: Scene) -> None:
    job = ask(scene)

    outcome, _ = scene.run(job, Script([KEY]), Interposed(scene.ledger, lost={"fall_back": 2}))

    assert outcome is Outcome.REQUEUED
    assert len(scene.events(job)) == 1
    assert scene.facts(job).instance == "inst1"


def test_one_that_was_fenced_off_moves_nothing(scene: Scene) -> None:
    job = ask(scene)

    def lose() -> None:
        scene.give_back(job, failed=False)
        scene.take(job)

    assert scene.run(job, Script([lose, KEY])) == (Outcome.NOOP, "fenced")
    assert scene.facts(job).instance == "inst0"


def test_an_answer_of_the_first_model_needs_none(scene: Scene) -> None:
    job = ask(scene)

    scene.run(job, Script([Piece("a"), STOP]))

    assert scene.facts(job).tried == ()
