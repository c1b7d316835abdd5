"""Flower, started as a user starts it, and asked through its HTTP API."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.servers import free_port
from tests.support.waiting import eventually
from tests.support.workers import ROOT, environment


class Flower:
    """One ``celery -A workers flower`` process."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> dict[str, Any]:
        """What its API answers at ``path``; empty while it does not listen yet."""
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/api/{path}", timeout=10) as answer:
                return dict(json.load(answer))
        except URLError:
            return {}

    def states(self) -> dict[str, str]:
        """The state of each task it has heard of."""
        return {job_id: task["state"] for job_id, task in self.get("tasks").items()}


@contextmanager
def flower(url: str, folder: Path) -> Iterator[Flower]:
    """Runs it until the block ends; it has seen the workers that run by now."""
    port = free_port()
    with (folder / "flower.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *[sys.executable, "-m", "celery", "-A", "workers", "flower"],
                *["--address=127.0.0.1", f"--port={port}"],
            ],
            cwd=ROOT,
            env=environment(url, {"FLOWER_UNAUTHENTICATED_API": "true"}),
            stdout=log,
            stderr=log,
        )
    try:
        started = Flower(port)
        eventually(lambda: started.get("workers"), timeout_s=30)
        yield started
    finally:
        process.terminate()
        process.wait(10)
