"""Real workers on MLX with a tiny random model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("mlx_lm")

from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support import servers, tiny_safetensors
from tests.support.gates import begun


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server: what is tested here is the model."""
    with servers.server(servers.embedded(), tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two instances with the tiny model, by the names that the seeds have."""
    path = tiny_safetensors.write(tmp_path_factory.mktemp("mlx") / "tiny")
    return {"LLM_BACKEND": "mlx", "LLM_MODEL": str(path), "APEX_NUM_LLM_INSTANCES": "2"}


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
        for agent in ("Planner", "Coder")
    ]

    together = [job.result(timeout=60) for job in [client.submit(**one) for one in asked]]
    alone = [client.submit(**one).result(timeout=60) for one in asked]

    assert [result.text for result in together] == [result.text for result in alone]
    assert len({result.text for result in together}) == len(asked)
    assert {result.instance for result in together} == {"inst0", "inst1"}


def test_a_worker_that_is_killed_leaves_text_that_another_one_continues(
    client: LLMClient, start_workers: StartWorkers, env: dict[str, str]
) -> None:
    (worker,) = start_workers("inst0", env=env)
    story = greedy("tell a long story", "Planner", max_tokens=600)
    undisturbed = client.submit(**story).result(timeout=60)

    job = client.submit(**story)
    begun(job)
    (child,) = psutil.Process(worker.process.pid).children()
    child.kill()
    result = job.result(timeout=60)

    assert result.attempt == 2
    assert result.text == undisturbed.text
    assert result.usage == undisturbed.usage


def test_the_workers_parent_never_imports_the_library(
    start_workers: StartWorkers, env: dict[str, str]
) -> None:
    (worker,) = start_workers("inst0", env=env)
    parent = psutil.Process(worker.process.pid)
    (child,) = parent.children()

    assert not any("libmlx" in path for path in maps(parent))
    assert any("libmlx" in path for path in maps(child))


def maps(process: psutil.Process) -> list[str]:
    """Paths of the files that a process has mapped."""
    return [Path(one.path).name for one in process.memory_maps()]
