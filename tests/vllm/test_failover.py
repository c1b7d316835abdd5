"""Two servers of one instance, one of which is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.stream import replay
from producer import LLMClient
from tests.support import vllm_server
from tests.support.vllm_server import VllmServer
from tests.support.waiting import eventually
from tests.vllm.conftest import Serve
from tests.vllm.tables import asked

JOBS, TOKENS = 10, 500
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def other_server(model: Path, tmp_path: Path) -> Iterator[VllmServer]:
    with vllm_server.serving(model, tmp_path, core=1) as server:
        yield server


def test_ten_running_jobs_end_well_at_the_other_server_when_one_is_killed(
    client: LLMClient,
    ledger: Ledger,
    serve: Serve,
    server: VllmServer,
    other_server: VllmServer,
) -> None:
    # Given ten jobs that run at once, on both servers
    serve(server.url, other_server.url, slots=JOBS)
    used = client.get_stats()["tokens_used"]
    jobs = [client.submit(**asked(number, TOKENS)) for number in range(JOBS)]
    for job in jobs:
        next(job.stream(timeout_s=60))
    assert {job.status().state for job in jobs} == {State.RUNNING}
    finished = server.counted("vllm:request_success_total")
    assert other_server.counted("vllm:num_requests_running") > 0
    # When
    other_server.kill()
    # Then
    results = [job.result(timeout=300) for job in jobs]
    assert {one.usage.completion_tokens for one in results} == {TOKENS}
    assert {one.attempt for one in results} == {1}
    for job, result in zip(jobs, results, strict=True):
        chunks = [event for event in replay(ledger, job.id) if event.kind == "chunk"]
        assert "".join(event.text for event in chunks) == result.text
    eventually(lambda: server.counted("vllm:request_success_total") == finished + JOBS)
    charged = client.get_stats()["tokens_used"] - used
    assert charged == sum(one.usage.total_tokens for one in results)
    assert client.get_stats()["tokens_held"] == 0
