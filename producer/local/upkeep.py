"""Starting what dies while a stack is up again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

from ledger.errors import StackFailed
from producer.local.child import Child
from producer.local.restarts import Restarts

log = logging.getLogger(__name__)


class Upkeep:
    """Keeps the processes of a stack up."""

    def __init__(self, valkey: Child | None, *, with_data: bool) -> None:
        """``valkey`` is started again only if its data outlive it (``with_data``); None: a Redis
        that is not ours.
        """
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: dict[Child, asyncio.Task[None]] = {}
        if valkey:
            self._watch(valkey, _keep_valkey(valkey, with_data))

    def keep(self, worker: Child) -> None:
        """From now on the worker is started again when it dies."""
        self._watch(worker, _keep(worker))

    def let_go(self, worker: Child) -> None:
        """From now on it is not; for a worker that is to be stopped."""
        self._tasks.pop(worker).cancel()

    async def wait(self) -> None:
        """Waits for ever; without any worker left, what they wrote can still be read.

        Raises:
            StackFailed: Valkey is gone for good.
        """
        try:
            await self._failed
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _watch(self, child: Child, keeping: Coroutine[Any, Any, None]) -> None:
        task = self._tasks[child] = asyncio.create_task(keeping)
        task.add_done_callback(self._tell)

    def _tell(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)


def how(code: int) -> str:
    """An exit code in words."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


async def _keep(child: Child) -> None:
    """Returns when ``child`` died too often."""
    restarts = Restarts()
    while True:
        code = await child.wait()
        if code == os.EX_CONFIG:  # what a worker ends with whose model cannot be loaded
            log.error("%s is not started again; its log says why", child.name)
            return
        pause_s = restarts.after_death(asyncio.get_running_loop().time())
        if pause_s is None:
            log.error(
                "%s ended %d times in %g s and is not started again; the last line: %s",
                *(child.name, restarts.limit, restarts.window_s, child.last_line()),
            )
            return
        log.warning("%s ended (%s); starting it again", child.name, how(code))
        await asyncio.sleep(pause_s)
        await child.start()


async def _keep_valkey(valkey: Child, with_data: bool) -> None:
    if with_data:
        await _keep(valkey)
    else:  # another one would have none of the jobs, and readers would wait for them
        await valkey.wait()
    last = valkey.last_line()
    raise StackFailed(f"Valkey ended, so the stack is stopped; its last line: {last}")
