"""Starting what dies while a stack is up again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence

from ledger.errors import StackFailed
from producer.local.child import Child
from producer.local.restarts import Restarts

log = logging.getLogger(__name__)


async def keep_up(workers: Sequence[Child], valkey: Child | None, *, with_data: bool) -> None:
    """Keeps the processes up until this is cancelled.

    Args:
        workers: are started again when they die.
        valkey: is too if its data outlive it; None: a Redis that is not ours.
        with_data: whether they do.

    Raises:
        StackFailed: Valkey is gone for good.
    """
    tasks = [asyncio.create_task(_keep(worker)) for worker in workers]
    if valkey:
        tasks.append(asyncio.create_task(_keep_valkey(valkey, with_data)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        await asyncio.Event().wait()  # no worker is left, but what they wrote can be read
    finally:
        for task in tasks:
            task.cancel()


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
