"""What the producers ask: job number n of producer p is the same in every run of a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from ledger.messages import State, parse_request
from ledger.priority import Priority
from tests.torture.plan import MOCK, TENANTS, Plan
from workers.backends.mock import context_hash

AGENTS = 6  # of each producer, and a standard role
ROLES = ("Planner", "Coder", "Critic")
MOST_IN_BULK = 20
POEMS = ("roses", "the sea", "autumn leaves", "a long night", "bread", "two rivers")

Kind = Literal["plain", "long", "poison", "hang", "drip", "endless", "error", "cancel", "late"]
Way = Literal["follow", "slow", "reconnect"]

KINDS: dict[Kind, int] = {
    "plain": 86, "long": 2, "poison": 1, "hang": 1, "drip": 1, "endless": 1, "error": 2,
    "cancel": 4, "late": 2,
}  # fmt: skip
WAYS: dict[Way, int] = {"follow": 70, "slow": 10, "reconnect": 20}

SUCCEEDS = {State.SUCCEEDED}
ENDS: dict[Kind, set[State]] = {
    "plain": SUCCEEDS,
    "long": SUCCEEDS,
    "poison": {State.DEAD},
    "hang": {State.FAILED},
    "drip": {State.FAILED},
    "endless": SUCCEEDS,
    "error": {State.FAILED},
    "cancel": {State.CANCELLED, State.SUCCEEDED},
    "late": {State.EXPIRED, State.SUCCEEDED},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One job: what it is like, what it must answer if it succeeds, and how it is read."""

    number: int
    kind: Kind
    options: dict[str, Any]
    way: Way
    cancel_after: int  # events, of kind ``cancel``
    text: str | None  # None: whatever the model says

    @property
    def line(self) -> tuple[str, str, str]:
        """Whose jobs are served in the order in which they came."""
        return self.options["tenant"], self.options["agent_id"], self.options["priority"]


def asked(plan: Plan, producer: int, number: int) -> Asked:
    """Job ``number`` of a producer."""
    random = plan.random("asked", producer, number)
    kind = random.choices(list(KINDS), list(KINDS.values()))[0]
    way = random.choices(list(WAYS), list(WAYS.values()))[0]
    options = {
        "tenant": random.choice(TENANTS),
        "agent_id": _agent(random, producer),
        "priority": random.choice(list(Priority)).name,
        "idempotency_key": f"{plan.seed}/{producer}/{number}",
    }
    if random.random() < 0.1:
        options["session_id"] = f"s{random.randrange(3)}"
    if plan.model and random.random() < 0.1:
        options |= {"prompt": random.choice(POEMS), "model": plan.model}
        options |= {"temperature": 0.0, "max_tokens": 40, "cache": False}
        return Asked(number, "plain", options, way, 0, None)
    options |= {"model": MOCK, **_mock(kind, number, random)}
    return Asked(number, kind, options, way, random.randrange(4), _text(options))


def bulk(plan: Plan, producer: int, number: int) -> int:
    """How many jobs, from this one on, are submitted together."""
    random = plan.random("bulk", producer, number)
    return random.randint(2, MOST_IN_BULK) if random.random() < 0.02 else 1


def _agent(random: Random, producer: int) -> str:
    # Agents belong to one producer each, so that the order of their jobs is known.
    number = random.randrange(AGENTS + 1)
    return f"agent{producer}{number}" if number < AGENTS else ROLES[producer % len(ROLES)]


def _mock(kind: Kind, number: int, random: Random) -> dict[str, Any]:
    tokens = random.randint(1, 30)
    wants: dict[str, object] = {"tokens": tokens}
    more: dict[str, Any] = {"max_tokens": tokens + 10}
    at = random.randrange(tokens)
    match kind:
        case "plain" | "cancel":
            wants["tps"] = random.choice((0, 200, 500))
        case "late":
            more["queue_timeout_s"] = random.choice((0.05, 0.5, 5.0))
        case "long":
            wants = {"tokens": random.randint(100, 300), "tps": 150}
            more["max_tokens"] = 400
        case "poison":
            wants |= {"crash_at": at, "crashes": 99}
        case "hang":
            wants["hang_at"] = at
            more |= {"token_timeout_s": 0.5, "first_token_timeout_s": 0.5}
        case "drip":
            # One that makes way at each of its tokens never keeps anybody waiting for the second.
            wants |= {"tokens": 40, "tps": 0.7}
            more |= {"max_tokens": 50, "token_timeout_s": 0.5, "priority": "HIGH"}
        case "endless":
            wants["tokens"] = 1_000_000
        case "error":
            wants["error_at"] = at
    said = " ".join(f"{name}={value}" for name, value in wants.items())
    return {"prompt": f"job {number} [[mock {said}]]", **more}


def _text(options: dict[str, Any]) -> str:
    given = {name: value for name, value in options.items() if name != "idempotency_key"}
    request = parse_request(**given)
    tokens = int(options["prompt"].partition("tokens=")[2].partition(" ")[0].rstrip("]"))
    mark = context_hash(request)[:4]
    return " ".join(f"{mark}-{at}" for at in range(min(tokens, request.max_tokens)))
