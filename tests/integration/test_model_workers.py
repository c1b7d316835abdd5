"""Real workers on each library that runs a model in the process, with a tiny random model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from ledger.redis_client import Ledger
from ledger.settings import load_settings
from ledger.stream import replay
from producer import LLMClient
from tests.support import local_models, servers
from tests.support.gates import begun
from tests.support.workers import Worker, child_of, working

INSTANCES = ("inst0", "inst1")


@dataclass(frozen=True)
class Model:
    """A model's workers, and how much is asked of them.

    ``env``: of two instances. ``binary``: what a process has mapped that has loaded the library.
    ``agents`` ask at once, for answers of ``tokens``. An answer of ``long`` tokens is still under
    way when the next job comes.
    """

    env: dict[str, str]
    binary: str
    agents: tuple[str, ...] = ("Planner", "Coder")
    tokens: int = 60
    long: int = 600


def llama_cpp(folder: Path) -> Model:
    model = local_models.llama_cpp().write(folder)
    env = {
        "APEX_LLM_BACKEND": "llama_cpp",
        "APEX_GGUF_MODEL_PATH": str(model),
        "APEX_LLM_INSTANCES": "2",
        "APEX_LLM_CTX_TOKENS": "8192",
    }
    agents = ("Planner", "Coder", "Runner", "Critic", "Summarizer")
    return Model(env, "libllama", agents, tokens=300, long=1500)


def hf_nf4(folder: Path) -> Model:
    model = local_models.hf_nf4().write(folder)
    table = {"backend": "hf_cuda", "model": str(model), "quantization": "nf4", "device": "cpu"}
    tables = [{"name": name, **table} for name in INSTANCES]
    return Model({"APEX_LLM_INSTANCES": json.dumps(tables)}, "libtorch", long=400)


def mlx(folder: Path) -> Model:
    """By the names that the seeds have."""
    model = local_models.mlx().write(folder)
    env = {"LLM_BACKEND": "mlx", "LLM_MODEL": str(model), "APEX_NUM_LLM_INSTANCES": "2"}
    return Model(env, "libmlx")


@pytest.fixture(scope="module", params=[llama_cpp, hf_nf4, mlx], ids=lambda made: made.__name__)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    made: Callable[[Path], Model] = request.param
    return made(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def workers(
    model: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, list[Worker]]]:
    """A server's URL, and two workers of the model for all tests of it: each takes long to load."""
    folder = tmp_path_factory.mktemp("workers")
    with (
        servers.server(servers.embedded(), folder) as (url, _),
        working(url, folder, *INSTANCES, env=model.env) as workers,
    ):
        yield url, workers


@pytest.fixture
def client(workers: tuple[str, list[Worker]]) -> Iterator[LLMClient]:
    url, _ = workers
    with LLMClient(load_settings(env={}, redis_url=url)) as client:
        yield client


@pytest.fixture
def ledger(workers: tuple[str, list[Worker]]) -> Iterator[Ledger]:
    url, _ = workers
    ledger = Ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def worker(workers: tuple[str, list[Worker]]) -> psutil.Process:
    """The parent of the first instance."""
    _, [first, _] = workers
    return psutil.Process(first.process.pid)


def greedy(prompt: str, agent: str, max_tokens: int, **options: Any) -> dict[str, Any]:
    given = {"prompt": prompt, "agent_id": agent, "temperature": 0, "max_tokens": max_tokens}
    return {**given, "cache": False, **options}


def of_the_first(prompt: str, max_tokens: int, **options: Any) -> dict[str, Any]:
    """For the first instance, whoever asks."""
    return greedy(prompt, "Planner", max_tokens, instance=INSTANCES[0], **options)


def test_agents_at_once_get_what_each_gets_alone(client: LLMClient, model: Model) -> None:
    asked = [
        greedy(f"question {n} of {agent}", agent, model.tokens, session_id=f"s{n % 2}")
        for n in range(4)
        for agent in model.agents
    ]

    together = [job.result(timeout=60) for job in [client.submit(**one) for one in asked]]
    alone = [client.submit(**one).result(timeout=60) for one in asked]

    assert [result.text for result in together] == [result.text for result in alone]
    assert len({result.text for result in together}) == len(asked)
    assert {result.instance for result in together} == set(INSTANCES)
    assert {result.usage.completion_tokens for result in together} == {model.tokens}


def test_a_preempted_answer_ends_as_if_it_had_not_been(
    client: LLMClient, ledger: Ledger, model: Model
) -> None:
    # Given
    story = of_the_first("tell a long story", model.long, priority="LOW")
    undisturbed = client.submit(**story).result(timeout=60)
    # When
    low = begun(client.submit(**story))
    urgent = [client.submit(**of_the_first(f"quick {n}", 5, priority="URGENT")) for n in range(3)]
    # Then
    assert all(job.result(timeout=30).usage.completion_tokens == 5 for job in urgent)
    result = low.result(timeout=60)
    assert result.text == undisturbed.text
    assert result.usage.completion_tokens == model.long
    assert result.usage.cached_tokens == result.usage.prompt_tokens  # it was not read again
    assert "".join(event.text for event in low.stream(timeout_s=5)) == undisturbed.text
    assert "yield" in [one.reason for one in replay(ledger, low.id) if one.kind == "requeued"]


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has mapped is not told here")
def test_the_workers_parent_never_imports_the_library(model: Model, worker: psutil.Process) -> None:
    (child,) = worker.children()

    assert not any(model.binary in name for name in mapped_by(worker))
    assert any(model.binary in name for name in mapped_by(child))


def test_a_worker_that_is_killed_leaves_text_that_another_one_continues(
    client: LLMClient, model: Model, worker: psutil.Process
) -> None:
    story = of_the_first("tell a long story", model.long)
    undisturbed = client.submit(**story).result(timeout=60)

    job = begun(client.submit(**story))
    child_of(worker.pid).kill()
    result = job.result(timeout=60)

    assert result.attempt == 2
    assert result.text == undisturbed.text
    assert result.usage == undisturbed.usage


def mapped_by(process: psutil.Process) -> list[str]:
    """Names of the files that a process has mapped."""
    return [Path(one.path).name for one in process.memory_maps()]
