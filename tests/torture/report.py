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
    yield f"  {'':<18}{'':>6}{'given back after, s':>30}{'went on after, s':>30}"
    heads = "".join(f"{head:>6}" for head in ("jobs", "p50", "p99", "max"))
    yield f"  {'fault':<18}{'times':>6}{heads:>30}{heads:>30}"
    for kind in sorted({*outcome.faults, *outcome.took_s, *outcome.back_s}):
        took = [_times(seconds.get(kind, [])) for seconds in (outcome.back_s, outcome.took_s)]
        yield f"  {kind:<18}{outcome.faults.get(kind, ''):>6}{took[0]:>30}{took[1]:>30}".rstrip()
    if outcome.crossed_s:
        yield (
            f"  and {len(outcome.crossed_s)} jobs that two faults hit at once went on after "
            f"{max(outcome.crossed_s):.2f} s at most"
        )
    for name, complaints in outcome.wrong.items():
        yield f"{'FAILED' if complaints else 'ok':<7}{name}"
        yield from (f"       {said}" for said in complaints[:MOST_SAID])
        if len(complaints) > MOST_SAID:
            yield f"       and {len(complaints) - MOST_SAID} more"
    if not outcome.good:
        yield f"Logs, journals and Redis' files are in {plan.folder}; again with: {plan.command}"


def _times(took_s: list[float]) -> str:
    if not took_s:
        return ""
    ordered = sorted(took_s)
    at = "".join(f"{_percentile(ordered, share):6.2f}" for share in (50, 99, 100))
    return f"{len(ordered):>6}{at}"


def _percentile(ordered: list[float], share: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
