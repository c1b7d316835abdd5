"""A scrubbed environment, and real servers and workers for whoever asks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
import redis

from ledger.settings import Settings, load_settings
from producer import LLMClient
from tests.support import servers
from tests.support.missing_extras import missing_extras
from tests.support.workers import Worker, working

# A busy machine is slow, and that is no fault of the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

StartWorkers = Callable[..., list[Worker]]

# For what has nothing to do with whose Redis it is.
ON_ONE_SERVER = pytest.mark.parametrize("server_url", ["valkey"], indirect=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The tests on real vLLM servers run where they are named only: make test-vllm."""
    named = any("vllm" in argument for argument in config.args)
    return True if collection_path.name == "vllm" and not named else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Says at the very end which extras are missing and what was skipped for that."""
    yield
    for line in missing_extras(terminalreporter.stats.get("skipped", ())):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session", autouse=True)
def _scrubbed_environment() -> None:
    """No setting of whoever runs the tests reaches them, nor how their shell handles Ctrl-C."""
    for name in list(os.environ):
        if name.startswith(("APEX_", "LLM_", "CELERY")) or name == "REDIS_URL":
            del os.environ[name]
    # Where the tests run in a shell's background, Ctrl-C is ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", params=["valkey", "redis"])
def server_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a real server: the embedded Valkey, and a stock Redis where one is installed."""
    binary = servers.embedded() if request.param == "valkey" else servers.stock()
    if binary is None:
        pytest.skip("no redis-server is installed")
    with servers.server(binary, tmp_path_factory.mktemp(request.param)) as (url, _):
        yield url


@pytest.fixture
def redis_url(server_url: str) -> str:
    """The server, emptied."""
    with redis.Redis.from_url(server_url) as client:
        client.flushall()
    return server_url


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Five mock instances on the emptied server, which take no answer from the cache unasked."""
    return load_settings(env={}, redis_url=redis_url, mock_directives=True, enable_cache=False)


@pytest.fixture
def client(settings: Settings) -> Iterator[LLMClient]:
    """A client of the emptied server."""
    with LLMClient(settings) as client:
        yield client


@pytest.fixture
def start_workers(redis_url: str, tmp_path: Path) -> Iterator[StartWorkers]:
    """``start_workers("inst0", "inst1", env={...})``: real workers, ended after the test."""
    with ExitStack() as stack:

        def start(*names: str, env: dict[str, str] | None = None) -> list[Worker]:
            return stack.enter_context(working(redis_url, tmp_path, *names, env=env))

        yield start
