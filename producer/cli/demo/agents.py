"""The agents of the demo and what each of them is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TASKS = {
    "Planner": "Plan the release of a small library.",
    "Coder": "Write the code of a function that adds two numbers.",
    "Runner": "Run the build and say how it went.",
    "Critic": "Review a change that renames one function.",
    "Summarizer": "Summarize what was done this week.",
}

# Slow enough to watch. The mock's answer ends with a hash of all that it was given to read.
MOCK_PACE = "[[mock tps=18]]"


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent; ``secret`` is in its prompt and in no other one."""

    name: str
    secret: str
    prompt: str


def agents(*, mock: bool, draw_secret: Callable[[], str]) -> list[Agent]:
    """The five standard agents. A ``mock`` backend is told to take its time."""
    cast = []
    for name, task in TASKS.items():
        secret = draw_secret()
        prompt = f"You are the {name}. Your secret word is {secret}. {task} Answer in one sentence."
        cast.append(Agent(name, secret, f"{prompt} {MOCK_PACE}" if mock else prompt))
    return cast
