"""What a run prints at its end."""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.plan import Plan
from tests.torture.run import Outcome

MOST_SAID = 10


def report(plan: Plan, outcome: Outcome) -> Iterator[str]:
    """The lines."""
    jobs = sum(outcome.states.values())
    states = ", ".join(f"{count} {state}" for state, count in sorted(outcome.states.items()))
    yield f"{jobs:,} jobs accepted: {states}; {outcome.refused:,} denied by a budget"
    yield (
        f"{outcome.retried:,} ran more than once; {outcome.reconnects:,} reconnects of readers, "
        f"{outcome.slow:,} slow readers; {outcome.looks:,} looks at {outcome.levels} budget levels"
    )
    yield f"{sum(outcome.faults.values()):,} faults in {outcome.seconds:.0f} s:"
    yield f"  {'fault':<18}{'times':>6}{'jobs hit':>10}{'p50 s':>8}{'p99 s':>8}{'max s':>8}"
    for kind in sorted({*outcome.faults, *outcome.took_s}):
        took = sorted(outcome.took_s.get(kind, ()))
        times = f"  {kind:<18}{outcome.faults.get(kind, ''):>6}"
        if took:
            at = [_percentile(took, share) for share in (50, 99, 100)]
            times += f"{len(took):>10}" + "".join(f"{seconds:8.2f}" for seconds in at)
        yield times
    for name, complaints in outcome.wrong.items():
        yield f"{'FAILED' if complaints else 'ok':<7}{name}"
        yield from (f"       {said}" for said in complaints[:MOST_SAID])
        if len(complaints) > MOST_SAID:
            yield f"       and {len(complaints) - MOST_SAID} more"
    if not outcome.good:
        yield f"Logs, journals and Redis' files are in {plan.folder}; again with: {plan.command}"


def _percentile(ordered: list[float], share: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
