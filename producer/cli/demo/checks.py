"""What the demo has to show. Pure: from what happened to verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.errors import ApexError
from producer.cli.demo.act import Act
from producer.cli.demo.agents import Agent


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check: ``proved`` if it held, otherwise ``failures`` with a sentence each."""

    name: str
    proved: str
    failures: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.failures


def judge(cast: list[Agent], alone: Act, together: Act) -> list[Verdict]:
    """All verdicts. Whoever got no answer counts against the first one and is not asked again."""
    jobs = len(alone.ends) + len(together.ends)
    places = {end.instance for end in together.results.values()}
    return [
        Verdict("answers", f"all {jobs} jobs succeeded", (*_errors(alone), *_errors(together))),
        Verdict(
            "instances",
            f"{len(cast)} agents ran on {len(places)} instances",
            tuple(_shared_instances(together)),
        ),
        Verdict(
            "isolation",
            "each agent answered the same among the others as alone, "
            "and no answer has another agent's secret",
            tuple(_leaks(cast, alone, together)),
        ),
        Verdict(
            "budget",
            f"{together.used:,} of {together.limit:,} tokens used, every one accounted for, "
            f"{together.held} still held",
            (*_accounting(alone), *_accounting(together)),
        ),
    ]


def _errors(act: Act) -> Iterator[str]:
    for name, end in act.ends.items():
        if isinstance(end, ApexError):
            yield f"{name} got no answer: {end.message}"


def _shared_instances(act: Act) -> Iterator[str]:
    taken: dict[str, str] = {}
    for name, end in act.results.items():
        if end.instance in taken:
            yield f"{name} and {taken[end.instance]} both ran on {end.instance}"
        taken[end.instance] = name


def _leaks(cast: list[Agent], alone: Act, together: Act) -> Iterator[str]:
    for agent in cast:
        texts = [
            act.results[agent.name].text for act in (alone, together) if agent.name in act.results
        ]
        if len(set(texts)) > 1:
            yield f"{agent.name} answered otherwise among the others than alone"
        for other in cast:
            if other is not agent and any(other.secret in text for text in texts):
                yield f"{agent.name}'s answer has the secret of {other.name}"


def _accounting(act: Act) -> Iterator[str]:
    counted = sum(end.usage.total_tokens for end in act.results.values())
    if act.used > act.limit:
        yield f"{act.used:,} tokens were used, and {act.limit:,} were allowed"
    if act.held:
        yield f"{act.held:,} tokens are still held, though no job is under way"
    if len(act.results) == len(act.ends) and act.used != counted:
        yield f"{act.used:,} tokens were charged, and {counted:,} were used"
