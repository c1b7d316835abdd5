"""A real vLLM server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support import servers, vllm_server
from tests.support.vllm_server import VllmServer
from tests.vllm.tables import table

Serve = Callable[..., None]
Tell = Callable[[str], None]


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server: what is tested here is the model's."""
    with servers.server(servers.embedded(), tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that a step of the server takes longer than what is around it."""
    pytest.importorskip("safetensors")
    from tests.support import tiny_safetensors

    return tiny_safetensors.write(tmp_path_factory.mktemp("model") / "small", width=1024, layers=16)


@pytest.fixture(scope="session")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    if not vllm_server.PROGRAM.exists():
        pytest.skip(f"there is no {vllm_server.PROGRAM}; make test-vllm installs it")
    with vllm_server.serving(model, tmp_path_factory.mktemp("vllm")) as server:
        yield server


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Prints a figure, whether the test passes or not."""
    writer = request.config.get_terminal_writer()

    def print_it(line: str) -> None:
        with capsys.disabled():
            writer.line(f"\n{line}")

    return print_it


@pytest.fixture
def ledger(redis_url: str) -> Iterator[Ledger]:
    """The ledger on the emptied server."""
    ledger = Ledger(redis_url)
    yield ledger
    ledger.close()


@pytest.fixture
def serve(start_workers: StartWorkers, client: LLMClient) -> Serve:
    """``serve(url, …, slots=16)``: a worker on these servers, warm."""

    def start(*urls: str, name: str = "inst0", **options: Any) -> None:
        start_workers(name, env=table(name, *urls, **options))
        client.complete("warm up", agent_id="a", instance=name, max_tokens=2)

    return start
