"""Which answers are kept for equal requests, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger import keys
from ledger.errors import BackendError
from ledger.settings import Settings, load_settings
from tests.support.runner_scene import Scene
from tests.support.scripted import STOP, Script, never, pieces
from workers.backends import Piece

ASKED: dict[str, Any] = {"cache": True}


@pytest.mark.parametrize(
    ("steps", "max_tokens", "kept"),
    [
        ([Piece("a"), Piece("", 0, "stop")], 10, True),
        ([Piece("a"), Piece("", 0, "tool_calls")], 10, True),
        ([Piece("a"), Piece("b")], 2, True),  # as long as it was to be
        ([Piece("a"), Piece("", 0, "length")], 10, False),  # the window or a budget cut it off
        ([Piece("a"), BackendError("No.", retriable=False)], 10, False),
    ],
    ids=["stop", "tool_calls", "max_tokens", "cut off", "failed"],
)
def test_only_whole_answers_are_kept(
    scene: Scene, steps: list[Any], max_tokens: int, kept: bool
) -> None:
    first, second = (scene.submit(**ASKED, max_tokens=max_tokens) for _ in range(2))
    scene.run(first, Script(steps))
    scene.run(second, Script([Piece("again", 1, "stop")]))
    assert scene.record(second).cached is kept


def test_a_request_that_says_nothing_is_not_kept(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit()
    for job in (first, second):
        scene.run(job, Script([Piece("a"), STOP]))
    assert not scene.record(second).cached


@pytest.mark.parametrize("damage", ["no hash", "no record"])
def test_a_damaged_answer_is_none(scene: Scene, damage: str) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    scene.run(first, Script([Piece("a"), STOP]))
    (key,) = scene.ledger.redis.scan_iter(keys.cache("default", "*"))
    if damage == "no hash":
        scene.ledger.redis.delete(key)
        scene.ledger.redis.set(key, "?")
    else:
        scene.ledger.redis.hset(key, "record", "?")

    scene.run(second, Script([Piece("b"), STOP]))

    assert (scene.record(second).text, scene.record(second).cached) == ("b", False)


def test_an_answer_of_another_configuration_is_another(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    scene.run(first, Script([Piece("a"), STOP]))
    other = scene.settings.model_copy(update={"ctx_tokens": 8})
    scene.run(second, Script([Piece("b"), STOP]), settings=other)
    assert scene.record(second).text == "b"


def test_an_answer_is_kept_in_the_directory_where_one_is_set(
    scene: Scene, settings: Settings, tmp_path: Path
) -> None:
    env = settings.to_env() | {"LLM_CACHE_DIR": str(tmp_path / "cache")}
    files = load_settings(env=env)
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    scene.run(first, Script([*pieces("one ", "two"), STOP]), settings=files)
    assert len(list(tmp_path.glob("cache/*/*.json"))) == 1

    scene.run(second, never(), settings=files)

    record = scene.record(second)
    assert (record.text, record.cached) == ("one two", True)
