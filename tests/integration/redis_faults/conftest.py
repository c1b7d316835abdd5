"""A Redis of the test's own, which may be killed, filled up and cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from ledger.redis_client import Ledger
from ledger.settings import load_settings
from producer import LLMClient
from tests.support import servers
from tests.support.workers import Worker, working
from tests.torture.server import Server


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, with an append-only file."""
    binary = servers.embedded() if request.param == "valkey" else servers.stock()
    if binary is None:
        pytest.skip("no redis-server is installed")
    data = tmp_path / "data"
    data.mkdir()
    server = Server(data, binary, **{"enable-protected-configs": "yes"})
    yield server
    server.close()


@pytest.fixture
def admin(server: Server) -> Iterator[redis.Redis]:
    """The operator's own connection."""
    with redis.Redis.from_url(server.url, decode_responses=True) as admin:
        yield admin


@pytest.fixture
def client(server: Server) -> Iterator[LLMClient]:
    with LLMClient(load_settings(env={}, redis_url=server.url)) as client:
        yield client


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    """The ledger on this server."""
    with closing(Ledger(server.url)) as ledger:
        yield ledger


@pytest.fixture
def worker(server: Server, tmp_path: Path) -> Iterator[Worker]:
    with working(server.url, tmp_path, "inst0") as (worker,):
        yield worker
