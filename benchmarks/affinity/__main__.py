"""Prints what the ways to choose an instance cost: ``python -m benchmarks.affinity [--real]``."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from benchmarks.affinity import real
from benchmarks.affinity.simulation import Outcome, World, arrivals, policies, simulate

SEEDS = range(1, 9)
LOADS = (0.5, 0.6, 0.7)


def show(title: str, found: Mapping[str, list[Outcome]]) -> None:
    """A table of means."""
    print(f"\n{title}\n\n| policy | wait p50 | wait p99 | prompt tokens read per job |")
    print("|---|---:|---:|---:|")
    for policy, outcomes in found.items():
        p50, p99 = (
            sum(one.wait_s(share) for one in outcomes) / len(outcomes) for share in (0.5, 0.99)
        )
        jobs = sum(len(one.waits_s) for one in outcomes)
        read = sum(one.read for one in outcomes) / jobs
        print(f"| {policy} | {p50:.2f} s | {p99:.1f} s | {read:.0f} |")


def main() -> None:
    """The simulation over several seeds and loads, or one run on real workers."""
    if "--real" in sys.argv[1:]:
        show("On real workers", {name: [one] for name, one in real.run().items()})
        return
    for busy in LOADS:
        found: dict[str, list[Outcome]] = {}
        for seed in SEEDS:
            world = World(seed=seed, busy=busy)
            jobs = arrivals(world)
            for name, policy in policies(world).items():
                found.setdefault(name, []).append(simulate(world, policy, jobs))
        show(f"Simulated, {busy:.0%} of the capacity asked, {len(SEEDS)} seeds", found)


if __name__ == "__main__":
    main()
