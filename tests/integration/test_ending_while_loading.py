"""A worker that ends while one of its processes runs a job and another one still loads."""

from __future__ import annotations

import json
from threading import Event

import psutil
import pytest

pytest.importorskip("openai")

from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import fake_openai
from tests.support.fake_openai import begin, chunk, send
from tests.support.fake_server import Exchange
from tests.support.gates import begun, pid_of
from tests.support.waiting import eventually

pytestmark = ON_ONE_SERVER


def test_the_job_ends_well_and_the_other_process_at_once(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    go_on = Event()

    def answer(exchange: Exchange) -> None:
        begin(exchange, chunk({"content": "Hello"}))
        assert go_on.wait(30)
        send(exchange, chunk({"content": " there"}))
        send(exchange, chunk({}, finish="stop"))
        exchange.end()

    with fake_openai.serving(answer) as server:
        # Given two processes, of which one runs a job, and the next one of the other waits
        spec = {"name": "inst0", "backend": "openai", "base_url": server.url, "slots": 2}
        [worker] = start_workers("inst0", env={"APEX_LLM_INSTANCES": json.dumps([spec])})
        parent = psutil.Process(worker.process.pid)
        before = parent.children()
        job = begun(client.submit("Say hello", agent_id="a"))
        server.well = False
        [idle] = [one for one in before if one.pid != pid_of(ledger, job)]
        asked = len(server.asked)
        idle.kill()
        eventually(lambda: len(server.asked) > asked)
        [loading] = [one for one in parent.children() if one not in before]
        # When
        worker.process.terminate()
        eventually(lambda: loading.status() == psutil.STATUS_ZOMBIE)
        go_on.set()
        # Then
        result = job.result(timeout=20)
        assert (result.text, result.attempt) == ("Hello there", 1)
        worker.stop()
        assert worker.process.returncode == 0
