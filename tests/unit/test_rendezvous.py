"""Rendezvous hashing: even, weighted, still where it was when instances come and go."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.rendezvous import rank, score

AGENTS = [f"agent-{number}" for number in range(5_000)]


def like(count: int) -> list[tuple[str, float]]:
    return [(f"inst{number}", 1.0) for number in range(count)]


@pytest.mark.parametrize(
    ("agent_id", "expected"),
    [
        ("Agent_1", ["inst0", "inst3", "inst4", "inst1", "inst2"]),
        ("researcher", ["inst2", "inst4", "inst1", "inst0", "inst3"]),
        ("агент-7", ["inst2", "inst4", "inst1", "inst3", "inst0"]),
        ("xxxxxxxx", ["inst4", "inst3", "inst1", "inst2", "inst0"]),
    ],
)
def test_the_ranking_never_changes_silently(agent_id: str, expected: list[str]) -> None:
    assert rank(agent_id, like(5)) == expected


def test_scores_never_change_silently() -> None:
    assert score("Agent_1", "inst0", 1.0) == pytest.approx(4.963853686543858, rel=1e-12)
    assert score("агент-7", "inst3", 2.5) == pytest.approx(2.8371090898936786, rel=1e-12)


@given(st.permutations(like(6)), st.text(min_size=1, max_size=50).filter(str.isprintable))
def test_the_order_in_which_instances_are_told_does_not_matter(
    told: list[tuple[str, float]], agent_id: str
) -> None:
    assert rank(agent_id, told) == rank(agent_id, like(6))


@pytest.mark.parametrize("count", [2, 5, 16])
def test_an_instance_that_comes_takes_its_share_and_moves_nobody_else(count: int) -> None:
    before = {agent: rank(agent, like(count))[0] for agent in AGENTS}
    after = {agent: rank(agent, like(count + 1))[0] for agent in AGENTS}
    moved = [agent for agent in AGENTS if before[agent] != after[agent]]
    assert len(moved) / len(AGENTS) <= 1.2 / (count + 1)
    assert {after[agent] for agent in moved} == {f"inst{count}"}


def test_an_instance_that_goes_leaves_its_agents_to_the_next_in_their_order() -> None:
    for agent in AGENTS[:500]:
        first, *others = rank(agent, like(5))
        assert rank(agent, [one for one in like(5) if one[0] != first]) == others


@pytest.mark.parametrize("count", [2, 5, 16])
def test_agents_spread_evenly(count: int) -> None:
    shares = Counter(rank(agent, like(count))[0] for agent in AGENTS)
    fair = len(AGENTS) / count
    assert len(shares) == count
    # Five standard deviations of a fair draw; the agents are fixed, so this passes always or never.
    assert all(abs(share - fair) < 5 * fair**0.5 for share in shares.values())


def test_weights_are_shares() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 5.0}
    shares = Counter(rank(agent, weights.items())[0] for agent in AGENTS)
    for name, weight in weights.items():
        assert shares[name] / len(AGENTS) == pytest.approx(weight / 8, abs=0.025)


def test_a_weight_that_grows_takes_agents_and_gives_none_away() -> None:
    for agent in AGENTS[:500]:
        before = rank(agent, like(5))[0]
        after = rank(agent, [("inst0", 3.0), *like(5)[1:]])[0]
        assert after in (before, "inst0")


def test_no_instances_make_an_empty_ranking() -> None:
    assert rank("a", []) == []
