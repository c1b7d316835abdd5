"""When a job leaves its agent's own instance, and what that is worth in the simulation."""

from __future__ import annotations

import pytest

from benchmarks.affinity.simulation import World, arrivals, policies, simulate
from ledger.instances import Descriptor
from routing.affinity import Waits, place
from routing.registry import Entry, Load, Registry

ORDER = ["home", "second", "third"]


def test_a_job_stays_at_home_while_the_wait_is_not_worth_reading_anew() -> None:
    assert place(ORDER, {"home": 30, "second": 0, "third": 0}, reread_s=1) == "home"
    assert place(ORDER, {"home": 33, "second": 0, "third": 0}, reread_s=1) == "second"


def test_it_goes_to_the_first_in_its_order_that_is_far_sooner() -> None:
    assert place(ORDER, {"home": 100, "second": 20, "third": 3}, reread_s=1) == "third"
    assert place(ORDER, {"home": 100, "second": 10, "third": 3}, reread_s=1) == "second"


def test_it_stays_where_all_are_busy() -> None:
    assert place(ORDER, {"home": 100, "second": 60, "third": 50}, reread_s=0.1) == "home"


def test_one_instance_is_home_whatever_waits() -> None:
    assert place(["home"], {"home": 1000}, reread_s=0) == "home"


def test_waits_count_what_waits_runs_and_was_sent_since_over_the_slots() -> None:
    described = Descriptor(name="a", backend="mock", model="m", slots=2)
    unknown = Descriptor(name="b", backend="mock", model="m")
    waits = Waits(
        Registry(
            (
                Entry(described, 0, load=Load(waiting=3, running=2, run_ms=4000)),
                Entry(unknown, 0, load=Load(waiting=9)),
            )
        )
    )
    waits.sent("a")
    assert waits.seconds() == {"a": 12.0, "b": 0.0}


@pytest.mark.parametrize("busy", [0.5, 0.7])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bounded_waits_less_and_reads_less_than_a_plain_hash_and_than_chance(
    seed: int, busy: float
) -> None:
    world = World(seed=seed, busy=busy)
    jobs = arrivals(world)
    found = {name: simulate(world, policy, jobs) for name, policy in policies(world).items()}
    for other in ("hash", "random"):
        assert found["bounded"].wait_s(0.99) < found[other].wait_s(0.99)
        assert found["bounded"].read < found[other].read
    assert found["bounded"].wait_s(0.99) < found["strict"].wait_s(0.99)


def test_the_same_seed_gives_the_same_figures() -> None:
    world = World(jobs=500)
    first, again = (simulate(world, policies(world)["bounded"], arrivals(world)) for _ in range(2))
    assert first == again
