"""How a worker's parent makes a busy process look at its job again.

A process hears of a cancel with its next chunk. In a long prompt, or in a backend that hangs, there
is none; so the parent's guardian nudges it with a signal. A signal's handler runs in the main
thread between two steps of Python, which is too late there: the signal is blocked instead, and a
thread of its own waits for it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

NUDGE = signal.SIGUSR2


def nudge(pid: int) -> None:
    """Nudges a process that runs jobs."""
    with suppress(ProcessLookupError):
        os.kill(pid, NUDGE)


def listen(heed: Callable[[], None]) -> None:
    """Calls ``heed`` in a thread at each nudge from now on.

    To be called in the main thread before there are others, which inherit what it blocks.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {NUDGE})

    def work() -> None:
        while True:
            signal.sigwait({NUDGE})
            try:
                heed()
            except Exception:
                log.exception("a nudge was not heeded")

    threading.Thread(target=work, name="nudge", daemon=True).start()
