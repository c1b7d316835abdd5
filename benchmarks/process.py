"""A process of the benchmark's own, that does not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from producer.local.tether import tethered

ROOT = Path(__file__).parents[1]
PATIENCE_S = 10
TAIL_LINES = 15


class Process:
    """Starts at once, in a group of its own: Ctrl-C reaches the benchmark, which stops it."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        """``command`` runs in the project's root and writes to ``log``.

        ``env`` is laid over the environment. A process that ``talks`` has its stdin and stdout for
        :meth:`tell` and :meth:`answer`.
        """
        self.name, self._log = log.stem, log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                tethered(command, os.getpid()),
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else errors,
                stderr=errors,
                process_group=0,
                bufsize=0,
            )

    @property
    def pid(self) -> int:
        """Its process id; the tether becomes the command, so it is the command's."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Writes a line to its stdin."""
        _pipe(self._process.stdin).write(f"{line}\n".encode())

    def answer(self) -> str:
        """Waits for a line of its stdout.

        Raises:
            RuntimeError: it ended instead.
        """
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self.name} ended early:\n{self.tail()}")
        return line.decode().strip()

    def require_alive(self) -> None:
        """Raises RuntimeError, with the end of its output, if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended early:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def ask_to_stop(self) -> None:
        """SIGTERM; returns at once."""
        self._process.terminate()

    def stop(self) -> None:
        """SIGTERM, and after a while SIGKILL to whatever of its group is left."""
        with suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(PATIENCE_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
