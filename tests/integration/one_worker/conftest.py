"""One worker of inst0 for all tests of a file; a test may start further ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.support.tidy import tidy
from tests.support.workers import Worker, working


@pytest.fixture(scope="module")
def worker_env() -> dict[str, str]:
    """The worker's own settings; a file may have others."""
    return {}


@pytest.fixture(scope="module")
def worker(
    server_url: str, worker_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """It serves inst0 as long as there are tests in the file."""
    with redis.Redis.from_url(server_url) as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("worker")
    with working(server_url, folder, "inst0", env=worker_env) as (worker,):
        yield worker


@pytest.fixture
def redis_url(server_url: str, worker: Worker) -> str:
    """The server, on which there is nothing but the worker, which has nothing to do."""
    tidy(server_url)
    return server_url
