"""Roles: who belongs to which instance by its id."""

from __future__ import annotations

import pytest

from routing.roles import ROLES, natural, pinned


def plain(count: int) -> list[tuple[str, tuple[str, ...]]]:
    return [(f"inst{number}", ()) for number in range(count)]


def test_the_five_standard_roles_go_to_the_first_five_instances() -> None:
    assert ROLES == ("Planner", "Coder", "Runner", "Critic", "Summarizer")
    assert [pinned(role, plain(5)) for role in ROLES] == [f"inst{number}" for number in range(5)]


@pytest.mark.parametrize("agent_id", ["Coder", "coder", "CODER"])
def test_case_does_not_matter(agent_id: str) -> None:
    assert pinned(agent_id, plain(5)) == "inst1"


@pytest.mark.parametrize("agent_id", ["Coder_1", "my coder", "Code", " coder", "Agent_1"])
def test_only_the_whole_id_is_a_role(agent_id: str) -> None:
    assert pinned(agent_id, plain(5)) is None


def test_with_fewer_instances_roles_share_them_in_turn() -> None:
    assert [pinned(role, plain(2)) for role in ROLES] == [
        "inst0",
        "inst1",
        "inst0",
        "inst1",
        "inst0",
    ]


def test_instances_count_in_natural_order_however_they_are_told() -> None:
    instances = [(name, ()) for name in ("inst10", "inst2", "inst1")]
    assert [pinned(role, instances) for role in ROLES[:3]] == ["inst1", "inst2", "inst10"]


def test_natural_order_puts_numbers_by_value_and_is_total() -> None:
    names = ["b", "a10", "a2", "a", "10", "9", "a02", "a2b", "a-1", "a²"]
    ordered = sorted(names, key=natural)
    assert ordered.index("9") < ordered.index("10")
    assert ordered.index("a2") < ordered.index("a10")
    assert len({str(natural(name)) for name in names}) == len(names)


def test_an_instances_own_role_goes_before_its_number() -> None:
    instances = [("inst0", ()), ("inst1", ("planner", "Judge")), ("inst2", ())]
    assert pinned("Planner", instances) == "inst1"
    assert pinned("judge", instances) == "inst1"
    assert pinned("Runner", instances) == "inst2"


def test_without_instances_there_is_no_pin() -> None:
    assert pinned("Planner", []) is None
