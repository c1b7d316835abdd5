"""The baseline: a plain Celery app whose task publishes its answer, as one writes it by hand.

``celery -b URL -A benchmarks.plain_app worker`` runs it.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import redis
from celery import Celery

PUBLISH = "plain.publish"


def create(broker_url: str | None = None) -> Any:
    """The app; without ``broker_url`` it has the one that Celery's command line names."""
    app: Any = Celery("plain", broker=broker_url)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        broker_connection_retry_on_startup=True,
    )

    def publish(prompt: str, channel: str, wait_s: float = 0) -> None:
        """Answers ``prompt`` on a pub/sub channel, after ``wait_s`` seconds of work."""
        time.sleep(wait_s)
        _redis(app.conf.broker_url).publish(channel, f"answer to {prompt[:12]}")

    app.task(name=PUBLISH, shared=False)(publish)
    return app


@cache
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


app = create()
