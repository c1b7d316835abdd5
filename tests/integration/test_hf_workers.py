"""Real workers on transformers with a tiny random model, its weights in NF4."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("bitsandbytes")

from ledger.redis_client import Ledger
from ledger.stream import replay
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support import servers, tiny_safetensors
from tests.support.command import apexq
from tests.support.workers import Worker

AGENTS = ("Planner", "Coder")
LONG = 400  # tokens of an answer that is still under way when the next job comes


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server: what is tested here is the model."""
    with servers.server(servers.embedded(), tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two instances with the tiny model."""
    path = tiny_safetensors.write(tmp_path_factory.mktemp("hf") / "tiny")
    return instances(path)


def instances(path: Path) -> dict[str, str]:
    table = {"backend": "hf_cuda", "model": str(path), "quantization": "nf4", "device": "cpu"}
    tables = [{"name": name, **table} for name in ("inst0", "inst1")]
    return {"APEX_LLM_INSTANCES": json.dumps(tables)}


def greedy(prompt: str, agent: str, **options: Any) -> dict[str, Any]:
    given = {"prompt": prompt, "agent_id": agent, "temperature": 0, "max_tokens": 60}
    return {**given, "cache": False, **options}


def test_two_agents_at_once_get_what_each_gets_alone(
    client: LLMClient, start_workers: StartWorkers, env: dict[str, str]
) -> None:
    start_workers("inst0", "inst1", env=env)
    asked = [
        greedy(f"question {n} of {agent}", agent, session_id=f"s{n % 2}")
        for n in range(4)
        for agent in AGENTS
    ]

    together = [job.result(timeout=60) for job in [client.submit(**one) for one in asked]]
    alone = [client.submit(**one).result(timeout=60) for one in asked]

    assert [result.text for result in together] == [result.text for result in alone]
    assert len({result.text for result in together}) == len(asked)
    assert {result.instance for result in together} == {"inst0", "inst1"}
    assert {result.usage.completion_tokens for result in together} == {60}


def test_a_preempted_answer_ends_as_if_it_had_not_been(
    client: LLMClient, start_workers: StartWorkers, env: dict[str, str], ledger: Ledger
) -> None:
    start_workers("inst0", env=env)
    story = greedy("tell a long story", "Planner", priority="LOW", max_tokens=LONG)
    undisturbed = client.submit(**story).result(timeout=60)

    low = client.submit(**story)
    next(low.stream(timeout_s=30))
    urgent = client.submit(**greedy("quick", "Planner", priority="URGENT", max_tokens=5))

    assert urgent.result(timeout=30).usage.completion_tokens == 5
    assert low.result(timeout=60).text == undisturbed.text
    assert "yield" in [one.reason for one in replay(ledger, low.id) if one.kind == "requeued"]


def test_a_worker_that_is_killed_leaves_text_that_another_one_continues(
    client: LLMClient, start_workers: StartWorkers, env: dict[str, str]
) -> None:
    (worker,) = start_workers("inst0", env=env)
    story = greedy("tell a long story", "Planner", max_tokens=LONG)
    undisturbed = client.submit(**story).result(timeout=60)

    job = client.submit(**story)
    next(job.stream(timeout_s=30))
    (child,) = psutil.Process(worker.process.pid).children()
    child.kill()
    result = job.result(timeout=60)

    assert result.attempt == 2
    assert result.text == undisturbed.text
    assert result.usage == undisturbed.usage


def test_a_worker_whose_model_cannot_be_loaded_ends_and_the_status_says_why(
    redis_url: str, tmp_path: Path
) -> None:
    model = tiny_safetensors.write(tmp_path / "pickled")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    worker = Worker("inst0", redis_url, tmp_path, instances(model))

    assert worker.process.wait(60) == os.EX_CONFIG

    [shown] = json.loads(apexq("status", "--json", url=redis_url).stdout)["instances"]
    assert shown["state"] == "failed"
    assert "pytorch_model.bin may hold code (pickle) and is never loaded" in shown["why"]
    assert "Traceback" not in worker.log


def test_the_workers_parent_never_imports_the_library(
    start_workers: StartWorkers, env: dict[str, str]
) -> None:
    (worker,) = start_workers("inst0", env=env)
    parent = psutil.Process(worker.process.pid)
    (child,) = parent.children()

    assert "libtorch" not in {Path(one.path).name.partition(".")[0] for one in maps(parent)}
    assert any("libtorch" in one.path for one in maps(child))


def maps(process: psutil.Process) -> list[Any]:
    """The files that a process has mapped."""
    return list(process.memory_maps())
