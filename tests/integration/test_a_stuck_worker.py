"""A worker whose event loop stands still, which takes no job and looks alive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from ledger import keys
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.waiting import eventually
from tests.support.workers import ROOT, environment


def test_it_ends_by_itself_and_the_next_one_takes_its_jobs(
    client: LLMClient,
    ledger: Ledger,
    redis_url: str,
    tmp_path: Path,
    start_workers: StartWorkers,
) -> None:
    # Given
    log = tmp_path / "stuck.log"
    command = [sys.executable, "-m", "celery", "-A", "tests.support.stuck", "worker", "-Q", "inst0"]
    with log.open("wb") as out:
        worker = subprocess.Popen(
            command, cwd=ROOT, env=environment(redis_url), stdout=out, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: ledger.redis.hget(keys.entry("inst0"), "state") == "ready", 40)
        children = psutil.Process(worker.pid).children()
        # When
        code = worker.wait(30)
    finally:
        worker.kill()
    # Then
    assert code == os.EX_SOFTWARE
    assert "Celery's event loop stands still" in log.read_text()
    eventually(lambda: not any(child.is_running() for child in children))
    job = client.submit("hello", agent_id="a", instance="inst0")
    start_workers("inst0")
    assert job.result(timeout=20).text.startswith("Hello")
