"""What the runner logs of prompts and answers."""

from __future__ import annotations

import logging

import pytest

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


def test_prompts_are_logged_for_whoever_asks_for_it(
    redis_url: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = load_settings(env={}, redis_url=redis_url, log_prompts=True)

    scene.run(scene.submit(prompt=SECRET), Script([]), settings=asked)

    assert "heliotrope" in caplog.text
