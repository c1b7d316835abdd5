"""Where a job goes whose own model cannot answer it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ledger.errors import NoInstance, UnknownModel
from routing.registry import Registry
from routing.route import choose

Chains = Mapping[str, Sequence[str]]


def next_home(
    chains: Chains, tried: Sequence[str], registry: Registry, agent_id: str, absent_s: float
) -> tuple[str, str] | None:
    """The next model and the agent's instance of it; None where no other can be tried.

    Models without an instance that lives, is not drained and could load them are passed over.

    Args:
        chains: by model, those that are tried next.
        tried: the models that could not answer, in order.
        registry: the instances.
        agent_id: whose job it is.
        absent_s: an instance not heard for this long is absent.
    """
    serving = registry.open_where(lambda one: one.state != "failed" and one.serves(absent_s))
    for model in _ahead(chains, tried):
        try:
            return model, choose(serving, agent_id, model, absent_s)
        except (NoInstance, UnknownModel):
            continue
    return None


def _ahead(chains: Chains, tried: Sequence[str]) -> Iterator[str]:
    """What is left of the first model's chain, then of those of the others."""
    seen = set(tried)
    for model in tried:
        for name in chains.get(model, ()):
            if name not in seen:
                seen.add(name)
                yield name
