"""A model's process is told to forget sessions by a wake-up that leads to a note."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from ledger import forgetting, keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import LLMClient
from tests.support.hands import Hands
from tests.support.registering import OWNER, register
from tests.support.runner_scene import Interposed
from workers.backends.mock import MockBackend
from workers.runner import Outcome, Runner


class Remembering(MockBackend):
    """Notes what it is told to forget."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.instance("inst0"), settings)
        self.forgotten: list[tuple[str, str | None]] = []

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        self.forgotten.append((tenant, session_id))


@pytest.fixture
def ledger(redis_url: str) -> Iterator[Ledger]:
    with closing(Ledger(redis_url)) as ledger:
        register(ledger)
        yield ledger


def run(ledger: Ledger, settings: Settings, backend: MockBackend, wakeup_id: str) -> Outcome:
    spec = settings.instance("inst0")
    runner = Runner(ledger, backend, spec, settings, owner=OWNER, pid=os.getpid())
    return runner.run(wakeup_id)[0]


def next_wakeup(ledger: Ledger) -> str:
    """The id in the URGENT wake-up that Celery pops next."""
    raw: Any = ledger.redis.rpop(keys.queue("inst0"))
    return str(json.loads(raw)["id"])


@pytest.mark.parametrize("session_id", ["s:1", None])
def test_the_backend_forgets_what_the_note_says_once(
    ledger: Ledger, settings: Settings, session_id: str | None
) -> None:
    backend = Remembering(settings)
    assert ledger.run(forgetting.tell("inst0", 'the "tenant"', session_id))
    wakeup_id = next_wakeup(ledger)

    first = run(ledger, settings, backend, wakeup_id)
    again = run(ledger, settings, backend, wakeup_id)

    assert backend.forgotten == [('the "tenant"', session_id)]
    assert (first, again) == (Outcome.SUCCEEDED, Outcome.NOOP)
    assert not ledger.exists(keys.note(wakeup_id))


def test_a_note_whose_answer_was_lost_on_its_way_to_the_process_is_heeded(
    ledger: Ledger, settings: Settings
) -> None:
    backend = Remembering(settings)
    ledger.run(forgetting.tell("inst0", "t", "s"))

    lossy: Any = Interposed(ledger, lost={"read_note": 1, "drop_note": 1})
    assert run(lossy, settings, backend, next_wakeup(ledger)) is Outcome.SUCCEEDED

    assert backend.forgotten == [("t", "s")]


def test_a_note_whose_answer_was_lost_leads_to_one_wake_up(ledger: Ledger) -> None:
    call = forgetting.tell("inst0", "t", None)

    assert [ledger.run(call), ledger.run(call)] == [True, True]

    assert ledger.redis.llen(keys.queue("inst0")) == 1


def test_an_instance_that_was_never_registered_gets_no_note(ledger: Ledger) -> None:
    assert ledger.run(forgetting.tell("inst9", "t", None)) is False
    assert not ledger.exists(keys.queue("inst9"))


def test_jobs_whose_wake_ups_had_no_room_beside_notes_are_woken_after_them(
    ledger: Ledger, settings: Settings, client: LLMClient
) -> None:
    backend = Remembering(settings)
    for _ in range(3):
        ledger.run(forgetting.tell("inst0", "t", None))
    job = client.submit("hello", agent_id="a", priority="URGENT")
    assert ledger.redis.llen(keys.queue("inst0")) == 3

    for _ in range(3):
        run(ledger, settings, backend, next_wakeup(ledger))

    assert Hands(ledger).take().job_id == job.id
