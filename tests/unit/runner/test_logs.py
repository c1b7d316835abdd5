"""What the runner logs of prompts and answers."""

from __future__ import annotations

import logging

import pytest

from ledger.errors import BackendError, ContentRefused, InvalidRequest
from ledger.settings import load_settings
from tests.support.damage import cut_request
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import Script
from workers.backends import Piece
from workers.backends.base import Abilities

SECRET = "the codeword is heliotrope"


def test_prompts_and_answers_stay_out_of_the_logs(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = [Piece("the answer is hippopotamus")]
    scene.client.episode("e", token_budget=1000)
    long = scene.submit(prompt=SECRET, episode_id="e")
    cut = scene.submit(prompt=SECRET)
    cut_request(scene.ledger.redis, cut.id)

    scene.run(scene.submit(prompt=SECRET), Script(list(answer)))
    scene.run(long, Script(list(answer), prompt_tokens=2000))
    scene.run(cut, Script(list(answer)))
    scene.run(scene.submit(prompt=SECRET), Script([*answer, ValueError("bad")]))
    scene.run(scene.submit(prompt=SECRET, stop="x"), Script([], abilities=Abilities()))
    scene.run(
        scene.submit(prompt=SECRET),
        Script(list(answer)),
        Interposed(scene.ledger, lost={"emit": 1}),
    )

    assert caplog.text
    assert "heliotrope" not in caplog.text
    assert "hippopotamus" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"cannot parse {SECRET}"),
        BackendError(f"The server failed (in: {SECRET}).", said=f"in: {SECRET}"),
        BackendError(f"The server failed ({SECRET}).", said=SECRET, retriable=True),
        ContentRefused(said=SECRET),
        InvalidRequest(f"The template refuses the messages: {SECRET}.", said=SECRET),
    ],
)
def test_words_that_quote_a_prompt_are_in_the_jobs_record_and_nowhere_else(
    scene: Scene, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    # Given
    caplog.set_level(logging.DEBUG)
    job = scene.submit(prompt=SECRET)
    # When
    outcomes = [scene.run(job, Script([error])) for _ in range(scene.settings.max_attempts)]
    # Then Celery, which shows why to everybody, does not hear them
    assert "heliotrope" not in str(outcomes)
    assert "heliotrope" not in caplog.text
    assert "heliotrope" in str(scene.record(job).error)


def test_prompts_are_logged_for_whoever_asks_for_it(
    redis_url: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = load_settings(env={}, redis_url=redis_url, log_prompts=True)

    scene.run(scene.submit(prompt=SECRET), Script([]), settings=asked)

    assert "heliotrope" in caplog.text
