"""A real OpenAI-compatible server: ``python -m llama_cpp.server`` on a tiny model."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.servers import free_port
from tests.support.waiting import eventually
from tests.support.workers import environment

CTX = 2048
READY_S = 60


class LlamaServer:
    """The server's process. It answers one request at a time; others wait."""

    def __init__(self, model: Path, folder: Path, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log_path = folder / f"llama-server-{self.port}.log"
        options = {
            "model": model,
            "host": "127.0.0.1",
            "port": self.port,
            "n_ctx": CTX,
            "n_threads": 1,
            "logits_all": True,  # or it has no logprobs
            "interrupt_requests": False,  # or a second request cuts off the first
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "llama_cpp.server", *arguments],
                env=environment(""),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> bool:
        """Whether it answers."""
        assert self.process.poll() is None, self.log
        with suppress(OSError):
            return bool(self.ask("GET", "/v1/models"))
        return False

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.log_path.read_text(errors="replace")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A request without a stream, past all that is tested."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL, as a crash or the kernel's memory killer would."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """Ends it, whether it still runs or not."""
        if self.process.poll() is None:
            self.kill()


@contextmanager
def serving(model: Path, folder: Path, count: int = 1) -> Iterator[list[LlamaServer]]:
    """Runs so many servers of one model, and waits until all answer."""
    servers = [LlamaServer(model, folder) for _ in range(count)]
    try:
        for server in servers:
            eventually(server.ready, READY_S)
        yield servers
    finally:
        for server in servers:
            server.stop()
