"""The two workers that are compared: one instance of ours and one plain Celery worker."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.process import Process
from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings

CELERY = (sys.executable, "-m", "benchmarks.bare_celery")
INSTANCE = "inst0"
READY_S = 60
PING_S = 0.5


def start_ours(settings: Settings, folder: Path) -> Process:
    """``celery -A workers worker -Q inst0``, with its model loaded.

    Raises:
        RuntimeError: it did not become ready.
    """
    ledger = Ledger(settings.redis_url)
    command = [*CELERY, "-A", "workers", "worker", "-Q", INSTANCE, "-l", "WARNING"]
    until = time.monotonic() + READY_S
    with ledger.subscription(keys.INSTANCES) as announcements:
        worker = Process(command, folder / "ours.log", env=settings.to_env())
        while ledger.redis.hmget(keys.entry(INSTANCE), "state", "pid") != [
            "ready",
            str(worker.pid),
        ]:
            _require(worker, until)
            announcements.next(1)
    ledger.close()
    return worker


def start_plain(app: Any, folder: Path) -> Process:
    """``celery -A benchmarks.plain_app worker``, with ``app``'s broker, once it answers a ping.

    Raises:
        RuntimeError: it did not become ready.
    """
    command = [*CELERY, "-b", app.conf.broker_url, "-A", "benchmarks.plain_app", "worker"]
    until = time.monotonic() + READY_S
    worker = Process([*command, "-l", "WARNING"], folder / "plain.log")
    while not app.control.broadcast("ping", reply=True, limit=1, timeout=PING_S):
        _require(worker, until)
    return worker


def scrub() -> None:
    """Takes every setting of whoever runs the benchmark out of the environment."""
    for name in list(os.environ):
        if name.startswith(("APEX_", "LLM_", "CELERY")) or name == "REDIS_URL":
            del os.environ[name]
    os.environ["APEX_CONFIG"] = ""  # no apexq.toml either


def _require(worker: Process, until: float) -> None:
    worker.require_alive()
    if time.monotonic() > until:
        raise RuntimeError(f"{worker.name} is not ready after {READY_S} s:\n{worker.tail()}")
