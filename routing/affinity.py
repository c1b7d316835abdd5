"""Whether a job goes to its agent's own instance, or to another one that would serve it sooner.

The agent's context is warm at home. Elsewhere the prompt has to be read again, and at home, later,
what was said meanwhile; and each reading delays all who wait behind it. So a job leaves home only
if that saves several times the reading, and if home has far more to do than the other. It goes to
the first such instance in the agent's own order: what spills over goes to few instances, where it
is soon warm too. Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, SODA
2018) caps the load at a share of the average; here the cost of leaving is weighed.
docs/routing.md has what this is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from routing.registry import Registry

WORTH = 8.0  # seconds of waiting that a second of reading must save
SHARE = 0.25  # of the wait at home that the wait elsewhere may be, together with that

# Both are from the simulation of benchmarks/affinity: with less, the readings cost what they save.


def place(order: Sequence[str], waits_s: Mapping[str, float], reread_s: float) -> str:
    """The instance that gets the job.

    Args:
        order: the agent's instances, its own first.
        waits_s: how long a job that comes now would wait at each.
        reread_s: how long it takes to read the job's prompt anew.
    """
    home, *others = order
    limit_s = waits_s[home] * SHARE - reread_s * WORTH
    return next((name for name in others if waits_s[name] < limit_s), home)


class Waits:
    """How long a job would wait at each instance, from a registry and what was sent since."""

    def __init__(self, registry: Registry) -> None:
        self._jobs = {one.name: one.load.waiting + one.load.running for one in registry.entries}
        self._run_s = {
            one.name: one.load.run_ms / 1000 / one.descriptor.slots for one in registry.entries
        }

    def seconds(self) -> dict[str, float]:
        """By name. 0 where no run has ended yet: nothing is known."""
        return {name: jobs * self._run_s[name] for name, jobs in self._jobs.items()}

    def sent(self, name: str) -> None:
        """A job more waits there."""
        self._jobs[name] += 1
