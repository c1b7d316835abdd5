"""Jobs of real workers on two real model servers, one of which is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("openai")
pytest.importorskip("llama_cpp.server.app")

from ledger.redis_client import Ledger
from ledger.stream import replay
from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import llama_server, tiny_gguf
from tests.support.gates import begun
from tests.support.llama_server import LlamaServer
from tests.support.waiting import eventually

pytestmark = ON_ONE_SERVER

JOBS, TOKENS = 10, 300
ASKED = "POST /v1/completions"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[LlamaServer]]:
    model = tiny_gguf.write(tmp_path / "tiny.gguf", plain=True)
    with llama_server.serving(model, tmp_path, 2) as servers:
        yield servers


def table(folder: Path, servers: list[LlamaServer], **more: object) -> dict[str, str]:
    spec = {
        "name": "inst0",
        "backend": "vllm",
        "endpoints": [server.url for server in servers],
        "api": "completions",
        "extra_body": {"repeat_penalty": 1.0},
        **more,
    }
    return {"APEX_LLM_INSTANCES": json.dumps([spec]), "TMPDIR": str(folder)}


def test_ten_running_jobs_end_well_when_their_model_server_is_killed(
    client: LLMClient,
    ledger: Ledger,
    start_workers: StartWorkers,
    servers: list[LlamaServer],
    tmp_path: Path,
) -> None:
    # Given ten jobs that run at once, on both servers
    start_workers("inst0", env=table(tmp_path, servers, slots=JOBS))
    asked = [
        {
            "prompt": f"the story of {name}",
            "agent_id": name,
            "max_tokens": TOKENS,
            "temperature": 0,
            "cache": False,
        }
        for name in "abcdefghij"
    ]
    undisturbed = [client.complete(**one) for one in asked]
    used = client.get_stats()["tokens_used"]
    jobs = [client.submit(**one) for one in asked]
    eventually(lambda: {job.status().state for job in jobs} == {"running"})
    begun(jobs[0])
    # When
    before = servers[1].log.count(ASKED)
    servers[0].kill()
    # Then those that were there go on at the other one
    results = [job.result(timeout=60) for job in jobs]
    assert servers[1].log.count(ASKED) > before
    assert [one.text for one in results] == [one.text for one in undisturbed]
    assert {one.usage.completion_tokens for one in results} == {TOKENS}
    assert {one.attempt for one in results} == {1}
    for job, result in zip(jobs, results, strict=True):
        chunks = [event for event in replay(ledger, job.id) if event.kind == "chunk"]
        assert "".join(event.text for event in chunks) == result.text
    charged = client.get_stats()["tokens_used"] - used
    assert charged == sum(one.usage.total_tokens for one in results)
    assert client.get_stats()["tokens_held"] == 0
