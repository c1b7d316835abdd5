"""Requests that cannot be served."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger import keys
from ledger.messages import State
from tests.support.damage import cut_request, no_request
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import Script, pieces
from workers.backends.base import OPTIONS, Abilities
from workers.runner import Outcome


@pytest.mark.parametrize("damage", [cut_request, no_request], ids=["cut", "gone"])
def test_a_damaged_request_fails_and_gives_back_what_it_held(scene: Scene, damage: Any) -> None:
    job = scene.submit(session_id="s", episode_id="e")
    damage(scene.ledger.redis, job.id)
    backend = Script(pieces("a"))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert f"The ledger entry of job {job.id} is damaged" in why
    error = scene.record(job).error
    assert error is not None
    assert error["code"] == "corrupt_entry"
    assert backend.runs == []
    assert scene.charged == (0, 0)
    for name in scene.ledger.redis.scan_iter(keys.budget("*")):
        assert scene.ledger.redis.hget(name, "held") == "0", name


def test_a_damaged_request_is_kept_for_as_long_as_any_other(scene: Scene) -> None:
    job = scene.submit()
    cut_request(scene.ledger.redis, job.id)

    scene.run(job, Script([]), settings=scene.settings.model_copy(update={"retention_s": 60}))

    assert 0 < scene.ledger.redis.pttl(keys.job(job.id)) <= 60_000


def test_a_request_of_a_newer_release_that_is_cancelled_as_it_is_given_back_is_cancelled(
    scene: Scene,
) -> None:
    # Given
    job = scene.submit()
    newer = {**json.loads(scene.ledger.redis.get(keys.request(job.id))), "schema_version": 2}
    scene.ledger.redis.set(keys.request(job.id), json.dumps(newer))
    cancelled = Interposed(scene.ledger, before={"requeue": lambda: job.cancel() and None})
    # When
    outcome, _ = scene.run(job, Script([]), cancelled)
    # Then
    assert outcome is Outcome.CANCELLED
    assert scene.state(job) is State.CANCELLED
    assert scene.charged == (0, 0)


GIVEN: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 4,
    "stop": ("x",),
    "seed": 7,
    "logit_bias": {"1": 2.0},
    "logprobs": 2,
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function"}],
    "tool_choice": "auto",
}


@pytest.mark.parametrize("option", GIVEN)
def test_an_option_that_the_backend_lacks_is_refused_by_name(scene: Scene, option: str) -> None:
    job = scene.submit(**{option: GIVEN[option]})
    backend = Script(pieces("a"), abilities=Abilities(options=frozenset(OPTIONS) - {option}))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert f"does not have {option};" in why
    error = scene.record(job).error
    assert error is not None
    assert error["code"] == "invalid_request"
    assert backend.runs == []


@pytest.mark.parametrize("option", [{"temperature": 0}, {"seed": 0}], ids=str)
def test_zero_is_a_value_of_an_option(scene: Scene, option: dict[str, Any]) -> None:
    job = scene.submit(**option)

    outcome, _ = scene.run(job, Script(pieces("a"), abilities=Abilities()))

    assert outcome is Outcome.FAILED


def test_options_that_are_not_given_are_not_refused(scene: Scene) -> None:
    assert scene.run(scene.submit(), Script([], abilities=Abilities()))[0] is Outcome.SUCCEEDED


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SHOWN: list[dict[str, Any]] = [{"role": "user", "content": [PICTURE]}]


def test_images_are_refused_where_the_backend_sees_none(scene: Scene) -> None:
    job = scene.submit(prompt=None, messages=SHOWN)
    backend = Script(pieces("a"))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert "The backend mock does not have images; leave it out or route" in why
    assert backend.runs == []


def test_images_reach_a_backend_that_sees_them(scene: Scene) -> None:
    job = scene.submit(prompt=None, messages=SHOWN)
    backend = Script(pieces("a"), abilities=Abilities(images=True))

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert len(backend.runs[0].request.images) == 1


def test_an_image_of_an_earlier_turn_is_refused_too(scene: Scene) -> None:
    # Given a session in which one was shown
    asked = {"session_id": "s", "history": True}
    first = scene.submit(prompt=None, messages=SHOWN, **asked)
    scene.run(first, Script(pieces("a"), abilities=Abilities(images=True)))
    # When another model, that sees none, gets the next turn
    outcome, why = scene.run(scene.submit(**asked), Script(pieces("b")))
    # Then
    assert outcome is Outcome.FAILED
    assert "does not have images" in why


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": None, "messages": [{"role": "user", "content": "hi"}]},
        {"history": True, "session_id": "s"},
    ],
    ids=["messages", "history"],
)
def test_messages_are_refused_where_the_backend_takes_a_prompt_only(
    scene: Scene, asked: dict[str, Any]
) -> None:
    backend = Script(pieces("a"), abilities=Abilities(chat=False))

    outcome, why = scene.run(scene.submit(**asked), backend)

    assert outcome is Outcome.FAILED
    assert "does not have messages;" in why
    assert backend.runs == []
