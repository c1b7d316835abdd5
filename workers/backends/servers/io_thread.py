"""Asynchronous work in a thread of its own, for backends that talk to a server.

A thread that waits on a socket cannot be woken; a task of asyncio can, at every step: while it
connects, while it waits for headers, and between two bytes. Cancelling it closes its connection,
and that tells the server to stop.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Coroutine, Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_S = 0.03  # how often a reader that waits looks whether it is still wanted
CLOSE_S = 5.0


class IoThread:
    """An event loop in a daemon thread. To be started in the process that uses it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises; for another thread than the loop's."""
        return self.start(work).result()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begins ``work``; cancelling what is returned cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def iterate(self, source: AsyncIterator[T], stop: threading.Event) -> Generator[T, None, None]:
        """Yields what ``source`` yields, until that ends, or ``stop`` is set, or this is closed;
        the latter two cancel ``source`` where it stands. Nothing is begun where ``stop`` is set.
        """
        if stop.is_set():
            return
        box: queue.SimpleQueue[T | None] = queue.SimpleQueue()

        async def pump() -> None:
            async for one in source:
                box.put(one)

        work = self.start(pump())
        work.add_done_callback(lambda _: box.put(None))
        try:
            while not stop.is_set():
                try:
                    one = box.get(timeout=LOOK_S)
                except queue.Empty:
                    continue
                if one is None:
                    work.result()
                    return
                if not stop.is_set():
                    yield one
        finally:
            work.cancel()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Does ``last``, cancels all that is still done, and ends the thread."""
        try:
            with suppress(TimeoutError):
                self.start(last).result(CLOSE_S)
        finally:
            self._end()

    def _end(self) -> None:
        with suppress(TimeoutError):
            self.start(_cancel_others()).result(CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
