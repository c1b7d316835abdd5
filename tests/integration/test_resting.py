"""Whatever happens while an instance rests: no job is lost, and none runs that must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from ledger import keys
from ledger.jobs import Claim, Rest
from ledger.messages import State
from ledger.recovery import mend
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from tests.support import attempts
from tests.support.fleet import come
from tests.support.hands import LISTS
from tests.support.registering import register

HOUR_MS = 3_600_000


class Resting(RuleBasedStateMachine):
    """An instance with two slots, whose provider refuses jobs now and then."""

    def __init__(self, ledger: Ledger, client: LLMClient) -> None:
        super().__init__()
        self.ledger, self.client, self.redis = ledger, client, ledger.redis
        self.redis.flushall()
        register(ledger, slots=2)
        come(ledger, "inst0")
        self.submitted: list[Job] = []
        self.running: list[Claim] = []
        self.rests = self.drained = False

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        # One rule, because Hypothesis leaves out rules at random, and these need one another.
        often = [step for step, times in self.steps() for _ in range(times)]
        data.draw(st.sampled_from(often), label="what happens")()

    def steps(self) -> list[tuple[Callable[[], None], int]]:
        """What may happen, and how often it does."""
        return [
            (partial(self.a_job_comes, "NORMAL"), 4),
            (partial(self.a_job_comes, "URGENT"), 1),
            (partial(self.a_job_comes, "LOW"), 1),
            (self.a_worker_takes_a_wake_up, 6),
            (self.a_wake_up_is_lost, 1),
            (self.a_job_ends, 1),
            (partial(self.a_job_is_given_back, yields=True), 1),
            (partial(self.a_job_is_given_back, yields=False), 3),
            (self.the_rest_is_over, 2),
            (self.somebody_reconciles, 1),
            (partial(self.somebody_drains_or_resumes, True), 1),
            (partial(self.somebody_drains_or_resumes, False), 2),
            (self.a_job_is_cancelled, 1),
        ]

    def a_job_comes(self, priority: str) -> None:
        self.submitted.append(self.client.submit("hi", agent_id="a", priority=priority))

    def a_worker_takes_a_wake_up(self) -> None:
        if len(self.running) < 2:
            self._take()

    def a_wake_up_is_lost(self) -> None:
        self._pop()

    def a_job_ends(self) -> None:
        if self.running:
            self._finish(self.running.pop())

    def a_job_is_given_back(self, yields: bool) -> None:
        if self.running:
            self._give_back(self.running.pop(0), None if yields else Rest(HOUR_MS, HOUR_MS))
            self.rests = self.rests or not yields

    def the_rest_is_over(self) -> None:
        if self.rests:
            self.redis.hset(keys.entry("inst0"), "rest", 1)
        self.somebody_reconciles()
        self.rests = False

    def somebody_reconciles(self) -> None:
        self.ledger.run(mend("inst0", patience_ms=0))

    def somebody_drains_or_resumes(self, drained: bool) -> None:
        (self.client.drain if drained else self.client.resume)("inst0")
        self.drained = drained

    def a_job_is_cancelled(self) -> None:
        """The first that waits."""
        for job in self.submitted:
            if job.status().state is State.QUEUED:
                job.cancel()
                self.submitted.remove(job)
                return

    def teardown(self) -> None:
        """All is well again: each job is served, once."""
        self.client.resume("inst0")
        self.drained = False
        self.the_rest_is_over()
        for _ in range(3 * len(self.submitted) + 1):
            while self.running:
                self._finish(self.running.pop())
            while self._take() is not None:
                pass
            self.somebody_reconciles()
        assert [str(job.status().state) for job in self.submitted] == (
            ["succeeded"] * len(self.submitted)
        )
        for key in (keys.waiting, keys.woken, keys.running):
            assert self.redis.zcard(key("inst0")) == 0, key

    def _pop(self) -> str | None:
        for name in LISTS:
            raw: Any = self.redis.rpop(name)
            if raw is not None:
                return str(json.loads(raw)["id"])
        return None

    def _take(self) -> str | None:
        job_id = self._pop()
        if job_id is None:
            return None
        claim = self.ledger.run(attempts.claim(job_id, lease_ms=HOUR_MS))
        if isinstance(claim, Claim):
            assert not self.rests
            assert not self.drained
            self.running.append(claim)
        return job_id

    def _finish(self, claim: Claim) -> None:
        assert self.ledger.run(attempts.finish(claim))

    def _give_back(self, claim: Claim, rest: Rest | None) -> None:
        assert self.ledger.run(attempts.requeue(claim, failed=False, rest=rest)) == "queued"


def test_no_job_is_lost_or_started_while_its_instance_rests(
    ledger: Ledger, client: LLMClient
) -> None:
    run_state_machine_as_test(
        lambda: Resting(ledger, client),
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
