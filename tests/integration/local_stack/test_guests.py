"""A stack in a Redis that has instances of others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ledger.errors import StackFailed
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from producer import LLMClient
from producer.local.guest import GuestStack
from routing.registry import Entry, read_registry
from tests.support.fleet import come, instance_of
from tests.support.stacks import assert_gone, family

OF_THE_FIRST = "Planner"
GUEST = [{"name": "guest", "backend": "mock"}]


@pytest.fixture
def settings(stock: str) -> Settings:
    """Jobs of a worker that ends are given back at once."""
    return load_settings(env={}, redis_url=stock, mock_directives=True, grace_s=0)


@pytest.fixture
def ledger(stock: str) -> Iterator[Ledger]:
    ledger = Ledger(stock)
    yield ledger
    ledger.close()


def guest_stack(settings: Settings) -> GuestStack:
    return GuestStack(GUEST, None, env=settings.to_env())


def entries(ledger: Ledger) -> dict[str, Entry]:
    return {entry.name: entry for entry in ledger.run(read_registry()).entries}


def test_what_it_leaves_goes_to_others_at_its_end(settings: Settings, ledger: Ledger) -> None:
    # Given another instance, and of the first one a job that runs and one that waits
    with guest_stack(settings), LLMClient(settings) as client:
        come(ledger, "inst1")
        running = client.submit("[[mock tokens=500 tps=20]]", agent_id=OF_THE_FIRST, max_tokens=500)
        waiting = client.submit("hi", agent_id=OF_THE_FIRST)
        assert next(running.stream()).text
        assert [instance_of(ledger, job.id) for job in (running, waiting)] == ["guest", "guest"]
    # Then
    assert [instance_of(ledger, job.id) for job in (running, waiting)] == ["inst1", "inst1"]
    assert list(entries(ledger)) == ["inst1"]


def test_an_instance_that_somebody_elses_worker_serves_by_then_is_left_to_it(
    settings: Settings, ledger: Ledger
) -> None:
    with guest_stack(settings):
        come(ledger, "guest")
    left = entries(ledger)["guest"]
    assert (left.state, left.drained, left.retiring) == ("ready", False, False)


def test_one_whose_worker_was_killed_is_to_be_forgotten_all_the_same(
    settings: Settings, ledger: Ledger
) -> None:
    # Given a worker that could not say that it ends
    with guest_stack(settings) as stack:
        processes = family(stack.pids)
        os.kill(stack.pids["supervisor"], signal.SIGKILL)
        assert_gone(processes[1:])
    # Then
    left = entries(ledger)["guest"]
    assert (left.state, left.drained, left.retiring) == ("ready", True, True)


def test_a_second_one_of_its_name_does_not_come_up_and_leaves_it_alone(
    settings: Settings, ledger: Ledger
) -> None:
    with guest_stack(settings), LLMClient(settings) as client:
        with pytest.raises(StackFailed, match="already served"):
            guest_stack(settings).start()
        assert not entries(ledger)["guest"].drained
        assert client.complete("hi", agent_id="a").text
