"""Which model comes next, and which instance of it."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.instances import Descriptor
from routing.fallback import next_home
from routing.registry import Entry, Load, Registry

CHAINS = {"big": ("middle", "small"), "middle": ("tiny",)}
ABSENT_S = 60


def entry(model: str, **facts: Any) -> Entry:
    found: dict[str, Any] = {
        "absent_s": 0.0,
        "closed": "",
        "quiet": "",
        "state": "ready",
        "load": Load(0, 0, 0),
        **facts,
    }
    return Entry(Descriptor(name=f"inst-{model}", backend="mock", model=model), **found)


ALL = [entry(model) for model in ("big", "middle", "small", "tiny")]


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        (["big"], "middle"),
        (["big", "middle"], "small"),
        (["big", "middle", "small"], "tiny"),
        (["big", "middle", "small", "tiny"], None),
        (["middle"], "tiny"),
        (["small"], None),
    ],
)
def test_the_rest_of_the_first_chain_comes_before_those_of_the_others(
    tried: list[str], expected: str | None
) -> None:
    home = next_home(CHAINS, tried, Registry(tuple(ALL)), "a", ABSENT_S)

    assert home == (expected and (expected, f"inst-{expected}"))


@pytest.mark.parametrize(
    "facts",
    [{"quiet": "drained"}, {"absent_s": 100.0}, {"closed": "absent"}, {"state": "failed"}],
    ids=str,
)
def test_a_model_that_nobody_serves_now_is_passed_over(facts: dict[str, Any]) -> None:
    registry = Registry((entry("big"), entry("middle", **facts), entry("small")))

    assert next_home(CHAINS, ["big"], registry, "a", ABSENT_S) == ("small", "inst-small")


def test_a_model_that_never_registered_is_passed_over() -> None:
    registry = Registry((entry("big"), entry("small")))

    assert next_home(CHAINS, ["big"], registry, "a", ABSENT_S) == ("small", "inst-small")
