"""The wake-up that the ledger's scripts push is what Celery itself would have published."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import LLMClient, Priority
from tests.support.registering import register
from workers.celery_app import create_app
from workers.task import TASK_NAME
from workers.transport import complaint
from workers.wakeup import render

QUEUE = "inst-0.a_b"


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    app = create_app(settings)
    yield app
    app.close()


@pytest.fixture
def ledger(redis_url: str, app: Celery) -> Iterator[Ledger]:
    """A ledger in which an instance has registered with the template of the app."""
    ledger = Ledger(redis_url)
    register(ledger, QUEUE, wakeup=render(app, QUEUE))
    yield ledger
    ledger.close()


def only_list(ledger: Ledger) -> str:
    """The only list of Celery's that holds a message."""
    (name,) = ledger.redis.scan_iter(f"{QUEUE}*")
    return str(name)


def taken(ledger: Ledger, name: str) -> dict[str, Any]:
    """The only message of a list, taken out."""
    assert ledger.redis.llen(name) == 1
    return dict(json.loads(ledger.redis.rpop(name)))


@pytest.mark.parametrize("priority", Priority)
def test_a_script_pushes_what_a_live_publish_pushes_into_the_same_list(
    client: LLMClient, ledger: Ledger, app: Celery, priority: Priority
) -> None:
    # Given
    job = client.submit("hello", agent_id="a", priority=priority)
    list_of_script = only_list(ledger)
    from_script = taken(ledger, list_of_script)

    # When
    app.send_task(
        TASK_NAME, task_id=job.id, queue=QUEUE, priority=priority.value, ignore_result=True
    )

    # Then
    list_of_celery = only_list(ledger)
    from_celery = taken(ledger, list_of_celery)
    assert list_of_script == list_of_celery
    tags = [message["properties"].pop("delivery_tag") for message in (from_script, from_celery)]
    assert [type(tag) for tag in tags] == [str, str]
    assert from_script == from_celery
    assert from_script["headers"]["id"] == job.id
    assert from_script["properties"]["priority"] == priority.value
    assert json.loads(base64.b64decode(from_script["body"]))[:2] == [[], {}]


def test_each_wake_up_has_a_delivery_tag_of_its_own(client: LLMClient, ledger: Ledger) -> None:
    jobs = client.submit_many([{"prompt": "hello", "agent_id": "a"}] * 2)
    queue = keys.queue(QUEUE) + f"{keys.PRIORITY_SEPARATOR}{Priority.NORMAL.value}"

    pushed = ledger.redis.lrange(queue, 0, -1)

    messages = [json.loads(raw) for raw in pushed]
    assert {message["headers"]["id"] for message in messages} == {job.id for job in jobs}
    assert len({message["properties"]["delivery_tag"] for message in messages}) == 2
    assert "@@" not in "".join(pushed)


@pytest.mark.parametrize("priority", Priority)
def test_kombu_reads_it_and_the_guard_lets_it_pass(
    client: LLMClient, ledger: Ledger, app: Celery, priority: Priority
) -> None:
    job = client.submit("a prompt that stays in the ledger", agent_id="a", priority=priority)
    raw = ledger.redis.lindex(only_list(ledger), 0)

    assert complaint(raw.encode()) == ""
    assert "stays in the ledger" not in raw
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get(QUEUE)
        assert message.payload[:2] == [[], {}]
        assert message.headers["id"] == message.properties["correlation_id"] == job.id
        assert message.headers["task"] == TASK_NAME
        assert message.delivery_info["routing_key"] == QUEUE
        message.ack()


def test_a_wake_up_that_was_taken_and_not_begun_is_the_next_again(
    client: LLMClient, ledger: Ledger, app: Celery
) -> None:
    jobs = client.submit_many([{"prompt": "hello", "agent_id": "a"}] * 2)
    app.conf.broker_transport = "workers.transport:Transport"
    with app.connection_for_read() as connection:
        taken_first = connection.default_channel.basic_get(QUEUE)
        assert taken_first.headers["id"] == jobs[0].id

    # When its channel is closed, as that of a worker is that ends

    left = ledger.redis.lrange(only_list(ledger), 0, -1)
    assert [json.loads(raw)["headers"]["id"] for raw in reversed(left)] == [job.id for job in jobs]
    assert complaint(left[-1].encode()) == ""
