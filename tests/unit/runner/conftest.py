"""The scene of each test of the runner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.settings import Settings
from tests.support.registering import OWNER
from tests.support.runner_scene import Scene
from workers import persist
from workers.context import WorkerContext


@pytest.fixture
def scene(settings: Settings) -> Iterator[Scene]:
    scene = Scene(settings)
    yield scene
    scene.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persist, "RETRY_S", 0.01)


@pytest.fixture
def parent(scene: Scene) -> WorkerContext:
    """The process that is told when one of its children is gone."""
    return WorkerContext(scene.settings, scene.settings.instance("inst0"), OWNER, scene.ledger)
