"""Readers of a job that has ended: from every cursor, and where its end was not announced."""

from __future__ import annotations

import threading

from ledger import keys
from ledger.messages import Event, State
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.hands import Hands
from tests.support.registering import register
from tests.support.waiting import eventually


def test_a_reader_may_come_back_at_every_cursor(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    job = client.submit("[[mock tokens=40 tps=400]]", agent_id="a")
    events = list(job.stream(timeout_s=20))
    text = job.result(timeout=5).text

    for place, event in enumerate(events):
        before = "".join(one.text for one in events[: place + 1])
        rest = "".join(one.text for one in job.stream(after=event.seq, timeout_s=5))
        assert before + rest == text


def test_a_reader_ends_although_nobody_announced_the_end(client: LLMClient, ledger: Ledger) -> None:
    # Given a reader that follows a running job
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claim = Hands(ledger).take()
    read: list[Event] = []
    reader = threading.Thread(target=lambda: read.extend(job.stream(timeout_s=30)))
    reader.start()
    channel = keys.stream(job.id)
    eventually(lambda: ledger.redis.pubsub_numsub(channel) == [(channel, 1)])
    # When what is written at its end is written, but nothing published
    end = Event(kind="end", attempt=claim.fence, state=State.SUCCEEDED)
    ledger.redis.hset(keys.job(job.id), mapping={"state": "succeeded", "seq": 2})
    text = Event(kind="chunk", attempt=claim.fence, text="Hi", tokens=1)
    for seq, event in enumerate((text, end), 1):
        ledger.redis.xadd(channel, {"e": event.body()}, id=f"{seq}-0")
    # Then
    reader.join(10)
    assert not reader.is_alive()
    assert [event.text for event in read] == ["Hi"]
