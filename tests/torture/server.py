"""A Redis that is killed, started again and frozen: what it acknowledged is on its disk."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.support import servers

OPTIONS = {
    "bind": "127.0.0.1",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}


class Server:
    """One Redis on one port, however often it is started."""

    def __init__(self, folder: Path, binary: str | None = None, **options: str) -> None:
        self._folder, self._port = folder, servers.free_port()
        self._binary, self.options = binary or servers.embedded(), OPTIONS | options
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._start()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def kill_and_restart(self) -> None:
        """SIGKILL; the next process reads the append-only file and has what was acknowledged."""
        self.close()
        self._start()

    def freeze(self) -> None:
        """It is there and does not answer."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(10)

    def _start(self) -> None:
        options = {**self.options, "port": str(self._port), "dir": str(self._folder)}
        command = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *command], stdout=log, stderr=subprocess.STDOUT
            )
        servers.wait_until_it_answers(self.url, self.pid)
