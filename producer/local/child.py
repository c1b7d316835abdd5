"""One process under the supervisor: started tethered, its output kept, stopped for certain."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from producer.local.tether import tethered

TAIL_BYTES = 8192
READ_BYTES = 65536


class Child:
    """A process in a group of its own. What it writes goes to ``log``; the tail stays in memory."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path | None
    ) -> None:
        self.name = name
        self._command, self._env, self._log = command, env, log
        self._process: asyncio.subprocess.Process | None = None
        self._output = -1  # read end of the process's stdout and stderr
        self._tail = b""
        self._heard = asyncio.Event()

    @property
    def pid(self) -> int:
        """Its process id, or 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Starts it, the first time or again."""
        self._close()
        self._tail = b""
        # Not asyncio's own pipes: with these, wait() also waits for grandchildren that have them.
        self._output, theirs = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self._command, os.getpid()),
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                process_group=0,
            )
        finally:
            os.close(theirs)
        asyncio.get_running_loop().add_reader(self._output, self._drain)

    async def wait(self) -> int:
        """Its exit code, once it has ended; negative: the signal that killed it."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        self._drain()
        self._heard.set()
        return code

    async def said(self, text: bytes) -> bool:
        """True once its output has ``text``; False if it ends without."""
        ended = asyncio.create_task(self.wait())
        try:
            while text not in self._tail:
                if ended.done():
                    return False
                self._heard.clear()
                await self._heard.wait()
            return True
        finally:
            ended.cancel()

    def last_line(self) -> str:
        """The last line of its output that is not blank."""
        lines = self._tail.decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def printed(self, text: bytes) -> bool:
        """Whether the end of its output has ``text``."""
        return text in self._tail

    async def stop(self, patience_s: float) -> None:
        """SIGTERM, and SIGKILL to whatever of its group is left after ``patience_s`` seconds."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, TimeoutError):
            if self.running:
                self._process.terminate()
            await asyncio.wait_for(self._process.wait(), patience_s)
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()
        self._close()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while self._output >= 0:
                chunk = os.read(self._output, READ_BYTES)
                if not chunk:
                    self._close()
                    break
                self._keep(chunk)
        self._heard.set()

    def _keep(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        if self._log is not None:
            with suppress(OSError), self._log.open("ab") as file:  # a full disk must not stop it
                file.write(chunk)

    def _close(self) -> None:
        if self._output >= 0:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self._output = -1
