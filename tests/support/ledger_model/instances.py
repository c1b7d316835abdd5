"""What happens to instances: their workers register, beat and are replaced."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from ledger import instances, keys
from ledger.errors import InstanceTaken
from tests.support.ledger_model.among import running
from tests.support.ledger_model.books import Books
from tests.support.ledger_model.orders import NAMES
from tests.support.ledger_model.step import step


@step(1, name=NAMES, state=st.sampled_from(["ready", "failed"]))
def a_worker_registers_and_beats(books: Books, _: None, name: str, state: Any) -> None:
    place = books.places[name]
    if not place.failed:  # whoever failed may be followed at once
        with pytest.raises(InstanceTaken) as taken:
            books.register(name, "another")
        assert taken.value.owner == place.owner
    books.register(name, place.owner)
    assert books.ledger.run(instances.set_state(name, place.owner, state))
    assert not books.ledger.run(instances.set_state(name, "another", "stopped"))
    assert books.redis.hget(keys.entry(name), "state") == state
    place.failed = state == "failed"
    ids = [*books.jobs, "unheard-of"]
    beat = books.ledger.run(instances.beat(name, place.owner, lease_ms=60_000, job_ids=ids))
    assert not beat.taken
    assert [(one.job_id, one.fence, one.pid, one.stop) for one in beat.jobs] == [
        (job.id, job.fence, job.fence + 100, job.stop)
        for job in running(books)
        if job.owner == place.owner
    ]
    assert books.ledger.run(instances.beat(name, "x", lease_ms=60_000, job_ids=ids)).taken


@step(1, name=NAMES)
def a_worker_is_replaced(books: Books, _: None, name: str) -> None:
    owner = books.places[name].owner
    books.register(name, f"{owner}+", gone_owner=owner)
