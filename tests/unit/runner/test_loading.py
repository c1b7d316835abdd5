"""A process that loads its model while Redis is away for a moment."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import keys
from tests.support.registering import OWNER
from tests.support.runner_scene import Interposed, Scene
from workers import startup
from workers.context import WorkerContext


def test_a_model_that_cannot_be_loaded_is_told_however_long_redis_is_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    def fails(*_: Any) -> None:
        raise ValueError("no such file")

    monkeypatch.setattr(startup.backends, "create", fails)
    away = Interposed(scene.ledger, lost={"set_state": 2})
    monkeypatch.setattr(startup, "Ledger", lambda _: away)
    context = WorkerContext(scene.settings, scene.settings.instance("inst0"), OWNER, scene.ledger)
    # When
    startup._load(context, "inst0@here")
    # Then
    state, why = scene.ledger.redis.hmget(keys.entry("inst0"), "state", "why")
    assert (state, why) == ("failed", "ValueError: no such file")
