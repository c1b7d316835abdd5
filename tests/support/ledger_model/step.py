"""What may happen: one call, or a few, to one of what there is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from tests.support.ledger_model.books import Books


@dataclass(frozen=True)
class Step:
    """Something that can happen to one of what there is ``among`` the books, and what it takes."""

    do: Callable[..., None]
    weight: int
    among: Callable[[Books], Collection[Any]]
    given: dict[str, st.SearchStrategy[Any]]


def step(
    weight: int,
    among: Callable[[Books], Collection[Any]] = lambda _: [None],
    **given: st.SearchStrategy[Any],
) -> Callable[[Callable[..., None]], Step]:
    """Makes a step of a function of the books; heavier ones happen more often."""
    return lambda do: Step(do, weight, among, given)


def steps_of(*modules: ModuleType) -> list[Step]:
    """Every step that is written in these modules."""
    return [one for module in modules for one in vars(module).values() if isinstance(one, Step)]
