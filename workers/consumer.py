"""Celery's consumer, less what a single-queue worker does not need."""

from __future__ import annotations

import logging
import time
import warnings
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

log = logging.getLogger(__name__)

RECONNECT_CAP_S = 2
EVENTS_WITHIN_S = 0.25  # monitors may be that much behind
EVENTS_AT_ONCE = 300


class JobConsumer(Consumer):
    """No gossip and no mingle: workers need not know one another. Comes back from an outage of
    Redis within two seconds, where Celery's own back-off grows to thirty.
    """

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kw: Any) -> None:
        options = {**(worker_options or {}), "without_gossip": True, "without_mingle": True}
        self._events_due = False
        super().__init__(*args, worker_options=options, **kw)

    def on_send_event_buffered(self) -> None:
        """Lets task events wait for one another, and for the work.

        Celery publishes them in the hub's next turn, which comes before the one that hands the job
        to the child: "task-received" alone would keep every first token waiting.
        """
        if self.hub and not self._events_due:
            self._events_due = True
            self.event_dispatcher.buffer_limit = EVENTS_AT_ONCE
            self.hub.call_later(EVENTS_WITHIN_S, self._send_events)

    def _send_events(self) -> None:
        self._events_due = False
        if self.event_dispatcher:
            self.event_dispatcher.flush()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        with warnings.catch_warnings():
            # Of what Celery does to tasks that are acknowledged late: ours are not.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        if isinstance(exc, self.channel_errors):
            # Redis answers and does not let us: a replica, a disk that is full. Celery would ask
            # again at once.
            time.sleep(RECONNECT_CAP_S)

    def ensure_connected(self, conn: Any) -> Any:
        pauses = {
            "interval_start": 0.5,
            "interval_step": 0.5,
            "interval_max": RECONNECT_CAP_S,
        }
        conn.ensure_connection = partial(conn.ensure_connection, **pauses)
        # Events are published by ensure(): for ever, and deaf to SIGTERM if nobody asks.
        conn.ensure = partial(conn.ensure, errback=_let_end, **pauses)
        return super().ensure_connected(conn)


def _let_end(error: Exception, pause_s: float) -> None:
    """Called before each pause of a publish that waits for Redis; ends a worker that was told to.

    Raises:
        WorkerShutdown, WorkerTerminate
    """
    maybe_shutdown()
    if pause_s:
        log.error("cannot publish events (%s). Trying again in %.2f seconds", error, pause_s)
