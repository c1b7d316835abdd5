"""A stack for the commands, and a place to run them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.local import LocalStack


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Two instances whose mock obeys directives."""
    env = {**os.environ, "APEX_MOCK_DIRECTIVES": "1", "APEX_CONFIG": ""}
    with LocalStack(instances=2, env=env) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a stack and without an apexq.toml."""
    monkeypatch.chdir(tmp_path)
