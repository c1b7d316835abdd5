"""Celery's consumer, less what a single-queue worker does not need."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

RECONNECT_CAP_S = 2


class JobConsumer(Consumer):
    """No gossip and no mingle: workers need not know one another. Comes back from an outage of
    Redis within two seconds, where Celery's own back-off grows to thirty.
    """

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kw: Any) -> None:
        options = {**(worker_options or {}), "without_gossip": True, "without_mingle": True}
        super().__init__(*args, worker_options=options, **kw)

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=0.5,
            interval_step=0.5,
            interval_max=RECONNECT_CAP_S,
        )
        return super().ensure_connected(conn)
