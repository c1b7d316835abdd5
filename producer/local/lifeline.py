"""How a supervisor learns that the process which asked for its stack is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress


class Lifeline:
    """Calls ``gone`` once, when the caller closes its end of the pipe or dies."""

    def __init__(self, pipe: int, caller_pid: int, gone: Callable[[], object]) -> None:
        self._gone, self._pipe = gone, pipe
        self._fds = [pipe]
        # Children that the caller forked have the pipe's other end too and may outlive it; so on
        # Linux its own end counts as well.
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._fds.append(os.pidfd_open(caller_pid))
        loop = asyncio.get_running_loop()
        for fd in self._fds:
            loop.add_reader(fd, self._end)

    def cut(self) -> None:
        """From now on the caller may go."""
        loop = asyncio.get_running_loop()
        while self._fds:
            fd = self._fds.pop()
            loop.remove_reader(fd)
            if fd != self._pipe:  # that is standard input, whose number nothing else should get
                os.close(fd)

    def _end(self) -> None:
        self.cut()
        self._gone()
