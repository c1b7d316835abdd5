"""A thread in a worker's parent process that does something again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps

from ledger.errors import ApexError

log = logging.getLogger(__name__)


class Ticker:
    """Calls ``tick`` until it is stopped.

    ``tick`` returns the seconds until it is called again; after an error these are ``pause_s``, as
    before the first call.
    """

    def __init__(self, name: str, tick: Callable[[], float], *, pause_s: float) -> None:
        self._name, self._tick, self._pause_s = name, tick, pause_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def stopped(self) -> bool:
        """True once it was told to stop."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; ``tick`` may call this too."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=1)

    def _work(self) -> None:
        pause_s = self._pause_s
        while not self._stopped.wait(pause_s):
            pause_s = self._pause_s
            try:
                pause_s = self._tick()
            except ApexError as error:
                log.debug("%s: %s", self._name, error)  # the guardian says that Redis is away
            except Exception:
                log.exception("a tick of the %s failed", self._name)


class TickerStep(bootsteps.StartStopStep):
    """Starts and stops a ticker with the worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kw: Any) -> None:
        super().__init__(worker, **kw)
        self._ticker: Ticker | None = None

    def make(self, worker: Any) -> Ticker:
        """The ticker of a worker that starts."""
        raise NotImplementedError

    def start(self, worker: Any) -> None:
        self._ticker = self.make(worker)
        self._ticker.start()

    def stop(self, worker: Any) -> None:
        if self._ticker is not None:
            self._ticker.stop()

    terminate = stop
