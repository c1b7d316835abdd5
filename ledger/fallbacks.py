"""Which models are tried after one that could not answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ledger.environment import nearest
from ledger.tables import tables

Chains = Mapping[str, tuple[str, ...]]


def parse_fallbacks(value: object) -> object:
    """Turns what may be given for ``fallbacks`` into lists by model; one name is a list of one.

    Raises:
        ValueError: it is text but not a JSON object, or it is something else.
    """
    chains = tables(value, 'takes models by model, such as {"big": ["small"]}')
    return {
        model: (others,) if isinstance(others, str) else others for model, others in chains.items()
    }


def check_fallbacks(chains: Chains, served: Collection[str]) -> None:
    """Refuses chains that lead nowhere or back.

    Args:
        chains: by model, the ones tried next, in order.
        served: the models of all instances.

    Raises:
        ValueError: one sentence that names the model.
    """
    for model, others in chains.items():
        for name in (model, *others):
            if name not in served:
                raise ValueError(
                    f"no instance has the model {name!r}; did you mean {nearest(name, served)!r}?"
                )
        if not others:
            raise ValueError(f"{model!r} has no model after it; leave it out")
        if model in others or len(set(others)) < len(others):
            raise ValueError(f"a model is named twice in the chain of {model!r}")
    for model in chains:
        if model in reached(chains, model):
            raise ValueError(f"{model!r} leads back to itself; a chain has an end")


def reached(chains: Chains, model: str) -> set[str]:
    """Every model that may come to be tried after ``model``."""
    found: set[str] = set()
    ahead = list(chains.get(model, ()))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += chains.get(name, ())
    return found
