"""The ledger's scripts against a model: any calls in any order, repeated, late, with lost wake-ups.

Longer than `make test` has it, and with other examples each time:

    .venv/bin/python -m tests.integration.test_ledger_machine 5000
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ledger.messages import State
from tests.support import servers
from tests.support.ledger_model import budgets, instances, producers, wake_ups, workers
from tests.support.ledger_model.among import unfinished
from tests.support.ledger_model.books import Books
from tests.support.ledger_model.invariants import all_is_at_rest, all_is_right
from tests.support.ledger_model.orders import ATTEMPTS, INSTANCES, ORDERS, Order
from tests.support.ledger_model.place import Place
from tests.support.ledger_model.step import steps_of

STEPS = steps_of(producers, wake_ups, workers, budgets, instances)

SHORT = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class Machine(RuleBasedStateMachine):
    """Producers, workers and their mishaps, one call at a time, and what each must lead to."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.books = Books(url)

    @initialize(
        slots=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        orders=st.tuples(*[st.lists(ORDERS, min_size=2, max_size=6)] * len(INSTANCES)),
        attempts=ATTEMPTS,
    )
    def workers_register_and_producers_submit(
        self, slots: tuple[int, int], orders: tuple[list[Order], ...], attempts: int
    ) -> None:
        for name, count, first in zip(INSTANCES, slots, orders, strict=True):
            self.books.places[name] = Place(name, count)
            self.books.register(name, f"{name}-first")
            producers.submit_many.do(self.books, None, name, first, attempts, room=1000)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        # One rule, because Hypothesis leaves out rules at random, and these need one another.
        possible = [one for one in STEPS for _ in range(one.weight) if one.among(self.books)]
        self.books.midnight_may_pass()
        chosen = data.draw(st.sampled_from(possible), label="what happens")
        one = data.draw(st.sampled_from(list(chosen.among(self.books))), label="to what")
        given = {name: data.draw(how) for name, how in chosen.given.items()}
        chosen.do(self.books, one, **given)

    @invariant()
    def all_is_right(self) -> None:
        all_is_right(self.books)

    def teardown(self) -> None:
        for job in unfinished(self.books):
            if job.state is State.RUNNING:
                self.books.finish(job, State.SUCCEEDED, 0)
            else:
                self.books.cancel(job)
        all_is_at_rest(self.books)
        self.books.ledger.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.server(servers.embedded(), tmp_path_factory.mktemp("machine")) as (url, _):
        yield url


def test_the_books_are_right_whatever_happens_in_whatever_order(url: str) -> None:
    run_state_machine_as_test(partial(Machine, url), settings=SHORT)


def run_long(examples: int) -> None:
    """Random examples, more and longer ones."""
    longer = settings(SHORT, max_examples=examples, stateful_step_count=80, derandomize=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.server(servers.embedded(), Path(folder)) as (url, _),
    ):
        run_state_machine_as_test(partial(Machine, url), settings=longer)


if __name__ == "__main__":
    run_long(int(sys.argv[1]))
