"""The books of agents that work in stages: what each may spend, and what it has spent.

Pure bookkeeping in this process; it decides ``max_tokens`` of a request. The ledger's budgets hold
across processes and are hard.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from budgets.low import is_low
from budgets.stages import BUDGETS, StageBudget, allowance, kind_of
from ledger.errors import BudgetExceeded, InvalidRequest

MIN_BUDGET = 25


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one stage of an agent may spend.

    ``limit``: tokens of the whole stage. ``used``: of them so far. ``max_tokens``: what a request
    may make now. ``budget_low``: 80 % of the stage are used.
    """

    agent_id: str
    agent_type: str
    stage: int
    limit: int
    used: int
    max_tokens: int
    budget_low: bool


@dataclass(slots=True)
class _Agent:
    kind: str
    budget: StageBudget
    limits: dict[int, int] = field(default_factory=dict)  # of the stages that have begun
    used: dict[int, int] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        return sum(self.used.values())

    @property
    def left(self) -> int:
        return max(self.budget.base - self.spent, 0)


class TokenBudgetManager:
    """Stage budgets of many agents. Threads may share one."""

    def __init__(
        self,
        base_budget: int | None = None,
        min_budget: int = MIN_BUDGET,
        max_budget: int | None = None,
        strict_mode: bool = False,
    ) -> None:
        """Budgets in completion tokens; None: what the agent's type has.

        Args:
            base_budget: of an agent in all its stages.
            min_budget: a stage gets at least this much while it is left.
            max_budget: a stage's most, before later stages get 75 % and 50 % of it.
            strict_mode: True: nothing is allowed beyond the base. False: an agent that has spent
                its base is still allowed ``min_budget`` at a time, and the status shows it.

        Raises:
            InvalidRequest: one is no whole number above 0, or they contradict one another.
        """
        for name, value in [("base_budget", base_budget), ("max_budget", max_budget)]:
            if value is not None:
                _require_tokens(name, value)
        _require_tokens("min_budget", min_budget)
        self.base_budget, self.max_budget = base_budget, max_budget
        self.min_budget, self.strict_mode = min_budget, strict_mode
        self._check_order()
        self._agents: dict[str, _Agent] = {}
        self._lock = threading.Lock()

    def allocate(self, agent_id: str, agent_type: str = "research", stage: int = 1) -> Allowance:
        """What the agent may make in this stage now; ``max_tokens`` of its next request.

        A stage's limit is fixed when it is first asked for, and its requests share it: ask again
        when the use of the one before is recorded.

        Raises:
            InvalidRequest: there is no such type or stage.
            BudgetExceeded: in strict mode, when nothing is left.
        """
        if isinstance(stage, bool) or not isinstance(stage, int) or stage < 1:
            raise InvalidRequest(f"stage: it takes a whole number from 1, not {stage!r}.")
        kind = kind_of(agent_type)
        with self._lock:
            agent = self._agents.setdefault(agent_id, _Agent(kind, self._budget_of(kind)))
            if agent.kind != kind:
                raise InvalidRequest(
                    f"{agent_id} is of type {agent.kind}, not {kind}; "
                    "give each agent an id of its own, or reset() it first."
                )
            if stage not in agent.limits:
                agent.limits[stage] = allowance(
                    stage,
                    per_stage=agent.budget.per_stage,
                    left=agent.left,
                    min_budget=self.min_budget,
                )
            found = self._allowance(agent_id, agent, stage)
        if found.max_tokens == 0:
            raise BudgetExceeded(
                f"Stage {stage} of {agent_id} has no tokens left: {found.used} of {found.limit} "
                f"used in it, {agent.spent} of {agent.budget.base} in all; "
                "go on to the next stage, or raise base_budget.",
                scope=f"stage:{agent_id}:{stage}",
                limit=found.limit,
                used=found.used,
                held=0,
                requested=self.min_budget,
            )
        return found

    def record(self, agent_id: str, tokens: int, stage: int = 1) -> Allowance:
        """Counts the completion tokens that a request has really made, also those too many.

        Raises:
            InvalidRequest: the stage was never allocated, or ``tokens`` is no number from 0.
        """
        if tokens != 0:
            _require_tokens("tokens", tokens)
        with self._lock:
            agent = self._agents.get(agent_id)
            if agent is None or stage not in agent.limits:
                raise InvalidRequest(
                    f"Stage {stage} of {agent_id} was never allocated; call allocate() first."
                )
            agent.used[stage] = agent.used.get(stage, 0) + tokens
            return self._allowance(agent_id, agent, stage)

    def reset(self, agent_id: str) -> None:
        """Forgets what the agent has used. Does nothing if it is not known."""
        with self._lock:
            self._agents.pop(agent_id, None)

    def get_system_status(self) -> dict[str, Any]:
        """All agents: their base, what is used and left of it, and the state of each stage."""
        with self._lock:
            agents = {name: self._status_of(name, agent) for name, agent in self._agents.items()}
        return {
            "strict_mode": self.strict_mode,
            "tokens_used": sum(one["tokens_used"] for one in agents.values()),
            "tokens_left": sum(one["tokens_left"] for one in agents.values()),
            "agents": agents,
        }

    def _status_of(self, name: str, agent: _Agent) -> dict[str, Any]:
        stages = {stage: self._allowance(name, agent, stage) for stage in sorted(agent.limits)}
        return {
            "type": agent.kind,
            "base_budget": agent.budget.base,
            "tokens_used": agent.spent,
            "tokens_left": agent.left,
            "tokens_over": max(agent.spent - agent.budget.base, 0),
            "stages": {
                stage: {"limit": one.limit, "used": one.used, "budget_low": one.budget_low}
                for stage, one in stages.items()
            },
        }

    def _allowance(self, agent_id: str, agent: _Agent, stage: int) -> Allowance:
        limit, used = agent.limits[stage], agent.used.get(stage, 0)
        most = min(max(limit - used, 0), agent.left)
        if not self.strict_mode:
            most = max(most, self.min_budget)
        return Allowance(agent_id, agent.kind, stage, limit, used, most, is_low(used, limit))

    def _budget_of(self, kind: str) -> StageBudget:
        own = BUDGETS[kind]
        base = own.base if self.base_budget is None else self.base_budget
        per_stage = own.per_stage if self.max_budget is None else self.max_budget
        return StageBudget(base, min(per_stage, base))

    def _check_order(self) -> None:
        most = min(self._budget_of(kind).per_stage for kind in BUDGETS)
        if self.min_budget > most:
            raise InvalidRequest(
                f"min_budget: {self.min_budget} is more than the {most} tokens that a stage may "
                "have; lower it, or raise max_budget and base_budget."
            )
        base = self.base_budget
        if base is not None and self.max_budget is not None and self.max_budget > base:
            raise InvalidRequest(
                f"max_budget: {self.max_budget} for one stage is more than base_budget "
                f"({base}) for all of them; lower it, or raise base_budget."
            )


def _require_tokens(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(f"{name}: it takes a whole number of tokens from 1, not {value!r}.")
