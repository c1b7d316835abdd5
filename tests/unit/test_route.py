"""The choice of an instance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger.errors import NoInstance, UnknownModel
from ledger.instances import Descriptor
from routing.registry import Entry, Registry
from routing.rendezvous import rank
from routing.route import choose
from tests.support.sentences import is_one_sentence

ABSENT_S = 60


def entry(
    name: str, absent_s: float = 0, model: str = "m", closed: str = "", quiet: str = "", **more: Any
) -> Entry:
    described = Descriptor(name=name, backend="mock", model=model, **more)
    return Entry(described, absent_s, closed, quiet)


def registry(*entries: Entry) -> Registry:
    return Registry(entries)


FIVE = registry(*(entry(f"inst{number}") for number in range(5)))


def test_an_agent_goes_where_its_hash_says_every_time() -> None:
    expected = rank("a7", [(f"inst{number}", 1.0) for number in range(5)])[0]
    assert {choose(FIVE, "a7", None, ABSENT_S) for _ in range(3)} == {expected}


def test_a_role_goes_to_its_own_instance_before_any_hash() -> None:
    assert [choose(FIVE, role, None, ABSENT_S) for role in ("planner", "Summarizer")] == [
        "inst0",
        "inst4",
    ]


def test_an_instance_that_is_away_keeps_its_agents_until_it_is_closed() -> None:
    away = registry(entry("inst0", absent_s=600), entry("inst1"))
    assert choose(away, "Planner", None, ABSENT_S) == "inst0"
    closed = registry(entry("inst0", absent_s=600, closed="absent"), entry("inst1"))
    assert choose(closed, "Planner", None, ABSENT_S) == "inst1"


def test_a_role_stays_where_it_is_when_another_roles_instance_is_closed() -> None:
    closed = registry(
        *(replace(one, closed="absent" * (one.name == "inst0")) for one in FIVE.entries)
    )
    roles = ["Coder", "Runner", "Critic", "Summarizer"]
    assert [choose(closed, role, None, ABSENT_S) for role in roles] == [
        "inst1",
        "inst2",
        "inst3",
        "inst4",
    ]


def test_only_instances_that_serve_the_model_count() -> None:
    mixed = registry(entry("inst0", model="small"), entry("inst1", model="big"))
    agents = [f"a{number}" for number in range(50)]
    assert {choose(mixed, agent, "big", ABSENT_S) for agent in agents} == {"inst1"}
    assert {choose(mixed, agent, None, ABSENT_S) for agent in agents} == {"inst0", "inst1"}
    assert choose(mixed, "Planner", "big", ABSENT_S) == "inst1"


def test_a_heavier_instance_gets_more_agents() -> None:
    mixed = registry(entry("inst0"), entry("inst1", weight=9.0))
    chosen = [choose(mixed, f"a{number}", None, ABSENT_S) for number in range(1000)]
    assert 850 < chosen.count("inst1") < 950


def test_a_model_that_nobody_serves_is_named_beside_the_known_ones() -> None:
    mixed = registry(entry("inst0", model="small"), entry("inst1", model="big", absent_s=999))
    with pytest.raises(UnknownModel) as caught:
        choose(mixed, "a", "huge", ABSENT_S)
    assert (caught.value.model, caught.value.known) == ("huge", "big, small")


@pytest.mark.parametrize(
    ("known", "model"),
    [
        (registry(), None),
        (registry(), "m"),
        (registry(entry("inst0", absent_s=60)), None),
        (registry(entry("inst0", absent_s=60), entry("inst1", model="other")), "m"),
    ],
)
def test_without_a_live_instance_the_sentence_says_how_to_start_one(
    known: Registry, model: str | None
) -> None:
    with pytest.raises(NoInstance, match="start one with"):
        choose(known, "a", model, ABSENT_S)


def test_where_all_of_a_model_are_away_the_sentence_names_it_and_one_of_them() -> None:
    other = entry("inst0", model="other")
    away = registry(other, entry("inst1", absent_s=60, closed="absent"))
    with pytest.raises(NoInstance, match=r"serves the model 'm': start one with .* -Q inst1`"):
        choose(away, "a", "m", ABSENT_S)
    drained = registry(other, entry("inst1", closed="drained", quiet="drained"))
    with pytest.raises(NoInstance, match="serves the model 'm': `apexq resume inst1`") as refused:
        choose(drained, "a", "m", ABSENT_S)
    assert is_one_sentence(refused.value)


def test_a_job_for_one_instance_goes_there_and_nowhere_else() -> None:
    chosen = {choose(FIVE, agent, None, ABSENT_S, "inst3") for agent in ("Planner", "a1", "a2")}
    assert chosen == {"inst3"}


def test_a_job_for_an_instance_that_cannot_take_it_is_refused() -> None:
    mixed = registry(entry("inst0", model="small"), entry("inst1", absent_s=60))
    with pytest.raises(NoInstance, match=r"no instance 'inst9'; registered: inst0, inst1;"):
        choose(mixed, "a", None, ABSENT_S, "inst9")
    with pytest.raises(UnknownModel, match="big"):
        choose(mixed, "a", "big", ABSENT_S, "inst0")
    with pytest.raises(NoInstance, match="inst1 is absent: start it"):
        choose(mixed, "a", None, ABSENT_S, "inst1")
    with pytest.raises(NoInstance, match="No live instance"):
        choose(registry(), "a", None, ABSENT_S, "inst1")


@pytest.mark.parametrize("count", [2, 5, 16])
def test_an_instance_that_is_closed_moves_its_own_agents_and_nobody_else(count: int) -> None:
    agents = [f"agent-{number}" for number in range(3_000)]
    opened = registry(*(entry(f"inst{number}") for number in range(count)))
    closed = registry(replace(opened.entries[0], closed="absent"), *opened.entries[1:])
    before = {agent: choose(opened, agent, None, ABSENT_S) for agent in agents}
    after = {agent: choose(closed, agent, None, ABSENT_S) for agent in agents}
    moved = {agent for agent in agents if before[agent] != after[agent]}
    assert moved == {agent for agent in agents if before[agent] == "inst0"}
    assert len(moved) / len(agents) <= 1.2 / count


def test_a_drained_instance_refuses_a_job_for_it_alone_and_a_joining_one_takes_it() -> None:
    drained = registry(entry("inst0", closed="drained", quiet="drained"), entry("inst1"))
    with pytest.raises(NoInstance, match="inst0 is drained: `apexq resume inst0`"):
        choose(drained, "a", None, ABSENT_S, "inst0")
    joining = registry(entry("inst0", closed="joining"), entry("inst1"))
    assert choose(joining, "a", None, ABSENT_S, "inst0") == "inst0"
