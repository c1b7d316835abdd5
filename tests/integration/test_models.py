"""Several models at once: instances have theirs, requests name one, `apexq models` shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import UnknownModel
from ledger.settings import Settings, load_settings
from producer import LLMClient
from producer.local import LocalStack
from tests.conftest import StartWorkers
from tests.support.command import apexq

FILE = """
backend = "mock"

[[instances]]
name = "front"
model = "big"
roles = ["Planner"]

[[instances]]
name = "side"
model = "small"
slots = 2

[[instances]]
name = "side2"
model = "small"

[[instances]]
name = "plain"

[fallbacks]
big = ["small", "mock"]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An apexq.toml with three models on four instances."""
    path = tmp_path_factory.mktemp("models") / "apexq.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="module")
def stack(file: Path) -> Iterator[LocalStack]:
    with LocalStack(instances=None, backend=None, env={"APEX_CONFIG": str(file)}) as stack:
        yield stack


@pytest.fixture
def client(stack: LocalStack) -> Iterator[LLMClient]:
    with LLMClient(stack.settings) as client:
        yield client


def test_a_request_goes_to_an_instance_of_the_model_that_it_names(client: LLMClient) -> None:
    agents = [f"agent{number}" for number in range(20)]
    served = {
        model: {client.complete("hello", agent_id=agent, model=model).instance for agent in agents}
        for model in ("big", "small", "mock")
    }
    assert served == {"big": {"front"}, "small": {"side", "side2"}, "mock": {"plain"}}


def test_jobs_of_several_models_run_at_the_same_time(client: LLMClient) -> None:
    asked: dict[str, Any] = {"agent_id": "a", "prompt": "hello"}
    jobs = client.submit_many([{**asked, "model": model} for model in ("big", "small", "mock")])
    assert len({job.result(timeout=20).instance for job in jobs}) == 3


def test_an_agent_that_names_no_model_keeps_its_instance(client: LLMClient) -> None:
    assert client.complete("hello", agent_id="Planner").instance == "front"
    assert len({client.complete("hello", agent_id="x").instance for _ in range(3)}) == 1


def test_a_model_that_nobody_serves_is_refused_with_those_that_there_are(
    client: LLMClient,
) -> None:
    with pytest.raises(UnknownModel, match="'medium'; registered: big, mock, small"):
        client.submit("hello", agent_id="a", model="medium")


def test_what_was_spent_is_told_by_model(client: LLMClient) -> None:
    with LLMClient(client.settings, tenant="acme") as acme:
        acme.complete("hello", agent_id="a", model="big")
        acme.complete("hello", agent_id="a", model="small")
        assert {spent.model for spent in acme.usage()} == {"big", "small"}


def test_apexq_models_lists_them_with_their_chains(stack: LocalStack, file: Path) -> None:
    own = {"APEX_CONFIG": str(file)}
    done = apexq("models", url=stack.redis_url, **own)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [
        ["MODEL", "BACKEND", "WINDOW", "SLOTS", "READY", "INSTANCES", "HAS", "FALLBACK"],
        ["big", "mock", "-", "1", "1", "of", "1", "front", "-", "small,", "mock"],
        ["mock", "mock", "-", "1", "1", "of", "1", "plain", "-", "-"],
        ["small", "mock", "-", "3", "2", "of", "2", "side,", "side2", "-", "-"],
    ]
    models = json.loads(apexq("models", "--json", url=stack.redis_url, **own).stdout)["models"]
    assert models[0]["fallbacks"] == ["small", "mock"]
    assert "temperature" in models[0]["abilities"]


def test_a_model_that_fails_is_followed_by_the_next_of_its_chain(
    settings: Settings, start_workers: StartWorkers, file: Path
) -> None:
    # Given a model that does as the prompt says, and one that does not.
    own = {"APEX_CONFIG": str(file), "APEX_MAX_ATTEMPTS": "1"}
    start_workers("front", env=own)
    start_workers("side", env={**own, "APEX_MOCK_DIRECTIVES": "0"})
    prompt = "hello [[mock tokens=9 error_at=3 errors=99]]"
    # When
    with LLMClient(load_settings(env={**own, "REDIS_URL": settings.redis_url})) as client:
        job = client.submit(prompt, agent_id="Planner", model="big")
        result = job.result(timeout=30)
        read = [(event.kind, event.text) for event in job.stream(timeout_s=5)]
    # Then
    assert (result.instance, result.attempt) == ("side", 1)
    assert result.text.startswith("Hello, how can I help you today?")
    since = [kind for kind, _ in read].index("reset")
    assert "".join(text for _, text in read[since:]) == result.text
