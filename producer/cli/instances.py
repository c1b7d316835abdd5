"""The instances as people want to see them: what each is, how it is, what to worry about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import routing
from ledger.instances import Descriptor
from ledger.overview import InstanceFacts, read_entries
from ledger.queue_place import resting
from ledger.redis_client import Ledger

QUIET_S = 10.0  # a worker beats far more often; one that is silent for so long is in trouble


@dataclass(frozen=True, slots=True)
class Instance:
    """One registered instance."""

    descriptor: Descriptor
    facts: InstanceFacts

    @property
    def name(self) -> str:
        """Its name, which is its queue."""
        return self.facts.name

    @property
    def silent(self) -> bool:
        """True if its worker should be there but was not heard of late."""
        there = self.facts.state in ("ready", "starting")
        return there and (self.facts.heard_s is None or self.facts.heard_s > QUIET_S)

    @property
    def state(self) -> str:
        """``drained``, ``silent``, ``resting``, or ``ready``, ``starting``, ``failed``,
        ``stopped``.
        """
        if self.facts.drained:
            return "drained"
        if self.silent:
            return "silent"
        return "resting" if self._rests else self.facts.state

    @property
    def _rests(self) -> bool:
        return self.facts.state == "ready" and self.facts.rest_s > 0

    @property
    def why(self) -> str:
        """The reason for a state other than ready; may be empty."""
        if self.facts.drained:
            worker = f", its worker is {self.facts.state}" if self.facts.state != "ready" else ""
            return f"takes no jobs until `apexq resume {self.name}`{worker}"
        if self.silent:
            return f"was {self.facts.state}, and its worker gives no sign of life"
        if self._rests:
            return resting(self.facts.rest_s)
        return self.facts.why

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        about = self.descriptor.model_dump(exclude={"name"})
        return asdict(self.facts) | {"state": self.state, "why": self.why} | about


def read_instances(ledger: Ledger) -> list[Instance]:
    """Every instance that ever registered, by name.

    Raises:
        RedisUnavailable
    """
    entries = ledger.run(routing.read_registry()).entries
    facts = ledger.run(read_entries([entry.descriptor.name for entry in entries]))
    return [Instance(entry.descriptor, each) for entry, each in zip(entries, facts, strict=True)]
