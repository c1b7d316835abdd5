"""The wake-up message of an instance, as Celery and kombu write it, with three places left open.

The scripts put in the job's id, a unique delivery tag and the priority, and push it themselves, so
that a submit is one step. A contract test holds the template against a live publish.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.utils.json import dumps

from workers.task import TASK_NAME

ID, TAG, PRIORITY = "@@ID@@", "@@TAG@@", "@@PRIORITY@@"


def render(app: Celery, queue: str) -> str:
    """The envelope for ``queue``; Redis must answer, for kombu opens a channel to it."""
    caught: dict[str, Any] = {}
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        channel._put = lambda _queue, message, **_: caught.update(message)
        with app.amqp.Producer(channel, auto_declare=False) as producer:
            app.send_task(
                TASK_NAME,
                task_id=ID,
                queue=queue,
                priority=0,
                producer=producer,
                ignore_result=True,
                retry=False,
                declare=[],
            )
    caught["properties"]["delivery_tag"] = TAG
    caught["properties"]["priority"] = PRIORITY
    return str(dumps(caught))
