"""The ledger's scripts against a model: any calls in any order, repeated, late, with lost wake-ups.

Longer than `make test` has it, and with other examples each time:

    .venv/bin/python -m tests.integration.test_ledger_machine 5000
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from budgets import levels_of
from ledger import instances, jobs, keys, status, windows
from ledger.accounts import read_accounts, reset_budget, set_budget
from ledger.answer import text_of
from ledger.budget_spec import BudgetSpec
from ledger.errors import (
    ApexError,
    BudgetExceeded,
    IdempotencyConflict,
    InstanceTaken,
    JobNotFound,
    NoInstance,
    QueueFull,
    RedisUnavailable,
)
from ledger.instances import Descriptor
from ledger.jobs import Claim, Noop, Submission
from ledger.levels import Level
from ledger.messages import Event, Request, Result, State, Usage
from ledger.recovery import mend
from ledger.redis_client import Ledger
from ledger.settings import load_settings
from ledger.stream import replay
from ledger.usage import read_tenants, read_usage
from ledger.windows import Window
from producer import LLMClient
from tests.support import servers
from tests.support.model_accounts import NEVER, ModelAccount
from tests.support.registering import OWNER, WAKEUP, register
from tests.support.waiting import eventually
from workers.reconciler import take_over

INSTANCES = ("inst0", "inst1")
PRIORITIES = ("URGENT", "HIGH", "NORMAL", "LOW")
LONG_S, SHORT_S = 3600.0, 0.001

# No hours: one may end while the test runs.
BUDGETS = load_settings(
    env={"APEX_CONFIG": ""},
    budgets={
        "tenant": {"t0": {"tokens": 900, "tokens_per_day": 500}, "t1": {"tokens_per_month": 300}},
        "agent": {"Coder": {"tokens": 400, "tokens_per_day": 250}},
        "role": {"Coder": {"tokens_per_day": 200, "tokens_per_month": 220}},
        "session": {"s0": {"tokens": 150}},
        "episode": {"e0": {"tokens": 100}, "e1": {"tokens_per_day": 40}},
    },
)

SHORT = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Job:
    """What the ledger should know of a job."""

    id: str
    request: Request
    instance: str
    levels: list[Level]
    held: int
    attempts: int
    state: State = State.QUEUED
    fence: int = 0
    nonce: str = ""
    owner: str = ""
    stop: str = ""
    made: int = 0
    prompt: int = 0
    chunk: int = 0
    failures: int = 0
    delayed: bool = False  # it waits before its next attempt
    again: bool = False  # it was given back, or its wake-up pushed again: lists may be longer
    cost: int = 0
    text: str = ""
    kinds: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    record: str | None = None

    @property
    def band(self) -> int:
        return self.request.priority.band

    @property
    def claim(self) -> Claim:
        return self.claims[-1]


@dataclass
class Place:
    """What the ledger should know of an instance."""

    name: str
    slots: int
    owner: str = ""
    failed: bool = False
    popped: Counter[int] = field(default_factory=Counter)  # by band, since wake-ups were pushed
    leaving: set[str] = field(default_factory=set)  # running jobs that were told to make way

    @property
    def lists(self) -> list[str]:
        """Celery's lists, the best priority first."""
        queue = keys.queue(self.name)
        return [queue, *(f"{queue}{keys.PRIORITY_SEPARATOR}{number}" for number in (3, 6, 9))]


@dataclass(frozen=True)
class WakeUp:
    """A message that was taken from one of Celery's lists."""

    instance: str
    band: int
    raw: str

    @property
    def job_id(self) -> str:
        return id_of(self.raw)


def id_of(raw: str) -> str:
    return raw.split('"')[3]


NAMES = st.sampled_from(INSTANCES)

Payer = tuple[str, str, str | None, str | None]  # tenant, agent, session, episode
Order = tuple[Payer, str, int, float, bool]
ORDERS: st.SearchStrategy[Order] = st.tuples(
    st.tuples(
        st.sampled_from(["t0", "t1"]),
        st.sampled_from(["Coder", "a1"]),
        st.sampled_from([None, None, "s0"]),
        st.sampled_from([None, None, "e0", "e1"]),
    ),
    st.sampled_from(PRIORITIES),
    st.integers(1, 60),  # tokens to hold
    st.sampled_from([*[LONG_S] * 7, SHORT_S]),
    st.booleans(),  # sent twice
)
ATTEMPTS = st.integers(1, 3)
ROOMS = st.sampled_from([1000, 1000, 1000, 3])  # jobs that may wait
CHUNKS = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 3))  # as _emit takes them


@dataclass(frozen=True)
class Step:
    """Something that can happen to one of what there is ``among`` the books, and what it takes."""

    do: Callable[..., None]
    weight: int
    among: Callable[[Books], Collection[Any]]
    given: dict[str, st.SearchStrategy[Any]]


STEPS: list[Step] = []


def step(
    weight: int,
    among: Callable[[Books], Collection[Any]] = lambda _: [None],
    **given: st.SearchStrategy[Any],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a method of the machine as a step; heavier ones happen more often."""

    def register(do: Callable[..., None]) -> Callable[..., None]:
        STEPS.append(Step(do, weight, among, given))
        return do

    return register


def every(books: Books) -> list[Job]:
    return list(books.jobs.values())


def running(books: Books) -> list[Job]:
    return [job for job in books.jobs.values() if job.state is State.RUNNING]


def unfinished(books: Books) -> list[Job]:
    return [job for job in books.jobs.values() if not job.state.terminal]


def claimed(books: Books) -> list[Job]:
    return [job for job in books.jobs.values() if job.claims]


def stale(books: Books) -> list[tuple[Job, Claim]]:
    """Claims under which nothing may be written any more."""
    return [
        (job, claim)
        for job in books.jobs.values()
        for claim in job.claims
        if claim.fence != job.fence or job.state is not State.RUNNING
    ]


class Books(RuleBasedStateMachine):
    """Producers, workers and their mishaps, one call at a time, and what each must lead to."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.ledger = Ledger(url)
        self.redis: Any = self.ledger.redis
        self.redis.flushall()
        self.jobs: dict[str, Job] = {}
        self.places: dict[str, Place] = {}
        self.accounts: dict[str, ModelAccount] = {}
        self.day = self._index("day")
        self.hand: list[WakeUp] = []
        self.dropped: set[str] = set()
        self.nonces = self.ordered = 0

    @initialize(
        slots=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        orders=st.tuples(*[st.lists(ORDERS, min_size=2, max_size=6)] * len(INSTANCES)),
        attempts=ATTEMPTS,
    )
    def workers_register_and_producers_submit(
        self, slots: tuple[int, int], orders: tuple[list[Order], ...], attempts: int
    ) -> None:
        for name, count, first in zip(INSTANCES, slots, orders, strict=True):
            self.places[name] = Place(name, count)
            self._register(name, f"{name}-first")
            self.submit_many(None, name, first, attempts, room=1000)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        # One rule, because Hypothesis leaves out rules at random, and these need one another.
        possible = [one for one in STEPS for _ in range(one.weight) if one.among(self)]
        self._midnight_may_pass()
        chosen = data.draw(st.sampled_from(possible), label="what happens")
        one = data.draw(st.sampled_from(list(chosen.among(self))), label="to what")
        chosen.do(self, one, **{name: data.draw(how) for name, how in chosen.given.items()})

    # Producers

    @step(
        3,
        name=NAMES,
        orders=st.lists(ORDERS, min_size=1, max_size=5),
        attempts=ATTEMPTS,
        room=ROOMS,
    )
    def submit_many(
        self, _: None, name: str, orders: list[Order], attempts: int, room: int
    ) -> None:
        waiting = self.redis.zcard(keys.waiting(name))
        sent: list[Submission] = []
        expected: list[str | ApexError] = []
        for payer, priority, hold, timeout_s, twice in orders:
            job = self._ordered(name, payer, priority, hold, timeout_s, attempts)
            for _ in range(1 + twice):
                sent.append(
                    Submission(job.id, job.request, job.request.to_json(), hold, job.levels)
                )
                expected.append(self._accepted(job, waiting, room))
                waiting += expected[-1] == name and job.id not in self.jobs
                if expected[-1] == name:
                    self.jobs[job.id] = job

        answers = self.ledger.run(
            jobs.submit_many(sent, instance=name, max_attempts=attempts, max_waiting=room)
        )

        assert [sums_of(answer) for answer in answers] == [sums_of(answer) for answer in expected]

    def _ordered(
        self,
        name: str,
        payer: Payer,
        priority: str,
        hold: int,
        timeout_s: float,
        attempts: int,
    ) -> Job:
        self.ordered += 1
        tenant, agent, session, episode = payer
        request = Request(
            prompt=f"prompt {self.ordered}",
            tenant=tenant,
            agent_id=agent,
            session_id=session,
            episode_id=episode,
            priority=priority,
            timeout_s=timeout_s,
            instance=name,  # where a job goes when instances come and go is told elsewhere
        )
        levels = levels_of(request, BUDGETS)
        job = Job(f"job-{self.ordered}", request, name, levels, hold, attempts)
        for level in levels:
            self.accounts.setdefault(level.key, ModelAccount(level))
        return job

    def _accepted(self, job: Job, waiting: int, room: int) -> str | ApexError:
        """What a submit of the job must be answered."""
        if job.id in self.jobs:
            return job.instance
        if waiting >= room:
            return QueueFull(instance=job.instance, waiting=waiting)
        accounts = self._accounts(job)
        for refusal in filter(None, (account.refusal(job.held) for account in accounts)):
            return refusal
        for account in accounts:
            account.hold(job.held)
        self.places[job.instance].popped.pop(job.band, None)
        return job.instance

    @step(2, among=unfinished)
    def cancel(self, job: Job) -> None:
        answer = self._cancel(job, job.instance)
        if job.state is State.QUEUED:
            assert answer == "cancelled"
            self._ends(job, State.CANCELLED, job.prompt)
        else:
            assert answer == "stopping"
            job.stop = "cancel"

    @step(1, among=every, name=NAMES)
    def ask_again_and_in_the_wrong_place(self, job: Job, name: str) -> None:
        assert self._submit(job, name, hold=1000, room=0) == job.instance
        other = job.request.model_copy(update={"prompt": "another"})
        with pytest.raises(IdempotencyConflict):
            self._submit(replace(job, request=other), name, hold=1, room=1000)
        assert self._cancel(job, other_than(job.instance)) == "moved"
        if job.state.terminal:
            assert self._cancel(job, job.instance) == job.state
        self._claim(job.id, other_than(job.instance))
        nothing = replace(job, id="unheard-of")
        with pytest.raises(JobNotFound):
            self._cancel(nothing, name)
        with pytest.raises(NoInstance):
            self._submit(nothing, "nobody", hold=1, room=1000)
        self._claim("unheard-of", name)

    # Wake-ups

    @step(2, name=NAMES)
    def a_worker_takes_a_wake_up(self, _: None, name: str) -> None:
        taken = self._take(name)
        if taken is not None:
            self.hand.append(taken)

    @step(3, among=lambda books: books.hand)
    def claim_what_was_taken(self, taken: WakeUp) -> None:
        self.hand.remove(taken)
        self._claim(taken.job_id, taken.instance)

    @step(1, among=lambda books: books.hand)
    def a_wake_up_is_lost(self, taken: WakeUp) -> None:
        self.hand.remove(taken)
        self.dropped.add(taken.job_id)

    @step(1, among=lambda books: books.hand)
    def a_wake_up_is_delivered_twice(self, taken: WakeUp) -> None:
        again = taken.raw.replace('"tag": "', '"tag": "again.')
        self.redis.lpush(self.places[taken.instance].lists[taken.band], again)

    @step(1, among=every)
    def claim_without_a_wake_up(self, job: Job) -> None:
        self._claim(job.id, job.instance)

    @step(1, among=claimed)
    def a_claim_is_sent_again(self, job: Job) -> None:
        self._claim(job.id, job.instance, nonce=job.nonce)

    @step(2, name=NAMES)
    def lost_wake_ups_are_pushed_again(self, _: None, name: str) -> None:
        woken = self.redis.zrange(keys.woken(name), 0, -1)
        listed = self._listed(name)

        assert self.ledger.run(mend(name, patience_ms=0)) == []

        for job_id in woken:
            self.jobs[job_id].again |= job_id not in listed
        assert set(woken) <= self._listed(name)
        self._pushed(name)

    @step(1, among=lambda books: [job for job in books.jobs.values() if job.delayed])
    def a_job_has_waited_long_enough(self, job: Job) -> None:
        assert self.ledger.run(jobs.wake(job.id, instance=job.instance))
        job.delayed = False

    # Workers

    @step(
        5,
        name=NAMES,
        chunks=st.lists(CHUNKS, max_size=3),
        then=st.sampled_from(["", "", "yields", "is lost", "ends"]),
    )
    def a_worker_works(
        self, _: None, name: str, chunks: list[tuple[int, int, int]], then: str
    ) -> None:
        taken = self._take(name)
        if taken is None:
            return
        self._claim(taken.job_id, name)
        job = self.jobs[taken.job_id]
        if job.state is not State.RUNNING:
            return
        for chunk in chunks:
            self.check_all()
            self._emit(job, job.claim, job.chunk + 1, *chunk)
        if then == "ends":
            self._finish(job, State.SUCCEEDED, job.prompt)
        elif then:
            self.check_all()
            self._give_back(job, failed=then == "is lost")

    @step(4, among=running, chunk=CHUNKS)
    def emit(self, job: Job, chunk: tuple[int, int, int]) -> None:
        self._emit(job, job.claim, job.chunk + 1, *chunk)

    @step(1, among=running, below=st.integers(0, 3), tokens=st.integers(0, 100))
    def emit_again(self, job: Job, below: int, tokens: int) -> None:
        if job.chunk:
            self._emit(job, job.claim, job.chunk, tokens, 1, below)

    @step(2, among=running, least=st.integers(1, 40), more=st.integers(0, 60))
    def hold(self, job: Job, least: int, more: int) -> None:
        least += job.made + job.prompt
        accounts = self._accounts(job)
        for account in accounts:
            account.hold(-job.held)
        refusal = next(filter(None, (account.refusal(least) for account in accounts)), None)
        grant = job.held if refusal else min(least + more, *(one.room for one in accounts))
        for _ in range(2):  # the reply may be lost
            if refusal is None:
                assert self._hold(job, job.claim, least + more, least) == grant
                continue
            with pytest.raises(BudgetExceeded) as exceeded:
                self._hold(job, job.claim, least + more, least)
            assert sums_of(exceeded.value) == sums_of(refusal)
        for account in accounts:
            account.hold(grant)
        job.held = grant

    @step(2, among=running, failed=st.booleans())
    def give_back(self, job: Job, failed: bool) -> None:
        self._give_back(job, failed)

    @step(
        2,
        among=running,
        state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED]),
        prompt=st.integers(0, 8),
    )
    def finish(self, job: Job, state: State, prompt: int) -> None:
        self._finish(job, state, min(prompt, job.held - job.made))

    @step(3, among=stale, chunk=st.integers(1, 9), failed=st.booleans())
    def a_worker_goes_on_that_lost_its_job(
        self, lost: tuple[Job, Claim], chunk: int, failed: bool
    ) -> None:
        job, claim = lost
        assert self._send(job, claim, chunk, 1, 1, 0) == "fenced"
        assert self._hold(job, claim, 1000, 1) is None
        again = job.state is State.QUEUED and claim.fence == job.fence
        assert self._requeue(job, claim, failed) == ("queued" if again else "fenced")
        for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DEAD):
            again = state is job.state and claim.fence == job.fence
            assert self._send_finish(job, claim, state, 5) is again

    # Budgets

    @step(2, among=lambda books: books.accounts.values(), window=st.sampled_from(["day", "month"]))
    def a_window_turns(self, account: ModelAccount, window: Window) -> None:
        field = f"at:{window}"
        if self.redis.hexists(account.level.key, field):
            self.redis.hset(account.level.key, field, self._index(window) - 1)
        account.turn(window)

    @step(
        1,
        among=lambda books: books.accounts.values(),
        window=st.sampled_from([None, "day", "month"]),
        more=st.integers(1, 60),
    )
    def a_limit_is_set(self, account: ModelAccount, window: Window | None, more: int) -> None:
        account.set(window, NEVER)
        limit = account.used_in(window) + account.held + more
        account.set(window, limit)
        name = f"tokens_per_{window}" if window else "tokens"
        for _ in range(2):  # the reply may be lost
            self.ledger.run(set_budget(account.level, BudgetSpec(**{name: limit})))

    @step(1, among=lambda books: [one for one in books.accounts.values() if one.was_set])
    def limits_are_taken_back(self, account: ModelAccount) -> None:
        if account.fits(account.defaults):
            account.reset()
            for _ in range(2):
                self.ledger.run(reset_budget(account.level))

    # Instances

    @step(1, name=NAMES, state=st.sampled_from(["ready", "failed"]))
    def a_worker_registers_and_beats(self, _: None, name: str, state: Any) -> None:
        place = self.places[name]
        if not place.failed:  # whoever failed may be followed at once
            with pytest.raises(InstanceTaken) as taken:
                self._register(name, "another")
            assert taken.value.owner == place.owner
        self._register(name, place.owner)
        assert self.ledger.run(instances.set_state(name, place.owner, state))
        assert not self.ledger.run(instances.set_state(name, "another", "stopped"))
        assert self.redis.hget(keys.entry(name), "state") == state
        place.failed = state == "failed"
        ids = [*self.jobs, "unheard-of"]
        beat = self.ledger.run(instances.beat(name, place.owner, lease_ms=60_000, job_ids=ids))
        assert not beat.taken
        assert [(one.job_id, one.fence, one.pid, one.stop) for one in beat.jobs] == [
            (job.id, job.fence, job.fence + 100, job.stop)
            for job in running(self)
            if job.owner == place.owner
        ]
        assert self.ledger.run(instances.beat(name, "x", lease_ms=60_000, job_ids=ids)).taken

    @step(1, name=NAMES)
    def a_worker_is_replaced(self, _: None, name: str) -> None:
        owner = self.places[name].owner
        self._register(name, f"{owner}+", gone_owner=owner)

    # What must be so after every step

    @invariant()
    def budgets_add_up(self) -> None:
        models = list(self.accounts.values())
        found = self.ledger.run(read_accounts([model.level for model in models]))
        for model, account in zip(models, found, strict=True):
            own = [job for job in self.jobs.values() if model.level in job.levels]
            held = sum(job.held for job in own if not job.state.terminal)
            assert (account.used, account.held) == (sum(job.cost for job in own), held), model.level
            assert (account.used, account.held) == (model.used, model.held), model.level
            rows = [(None, account.limit, account.used)]
            rows += [(one.window, one.limit, one.used) for one in account.windows]
            seen = {window: (limit, used) for window, limit, used in rows if limit is not None}
            assert seen == {
                window: (limit, model.used_in(window)) for window, limit in model.limits.items()
            }, model.level
            assert all(used + held <= limit for limit, used in seen.values()), model.level

    @invariant()
    def idle_sessions_and_episodes_go_and_no_other_level(self) -> None:
        for model in self.accounts.values():
            ttl_ms = self.redis.pttl(model.level.key)
            goes = model.level.keep_s is not None and not model.held
            assert ttl_ms == -2 or (ttl_ms > 0) == goes, model.level

    @invariant()
    def jobs_are_what_they_should_be(self) -> None:
        for job, (entry, ttl_ms) in self._entries():
            facts = entry.facts
            assert (
                facts.state,
                facts.instance,
                facts.fence,
                facts.made,
                facts.failures,
                facts.stop,
                facts.prompt_tokens,
                facts.held,
            ) == (
                job.state,
                job.instance,
                job.fence,
                job.made,
                job.failures,
                job.stop,
                job.prompt,
                0 if job.state.terminal else job.held,
            ), job
            assert facts.state.terminal or facts.made + facts.prompt_tokens <= facts.held, job
            assert (entry.result is not None) == job.state.terminal, job
            assert (ttl_ms > 0) == job.state.terminal, job  # what has ended goes, nothing else
            valid = [one for one in job.claims if one.fence == facts.fence]
            assert len(valid) <= 1, job
            if entry.result is not None:
                record = entry.result.model_dump_json()
                assert entry.result.text == job.text, job
                job.record = job.record or record
                assert record == job.record, job

    @invariant()
    def streams_have_no_gap_and_one_end(self) -> None:
        pipe = self.redis.pipeline(transaction=False)
        for job in self.jobs.values():
            pipe.xrange(keys.stream(job.id))
        for job, entries in zip(self.jobs.values(), pipe.execute(), strict=True):
            assert [name for name, _ in entries] == [f"{n}-0" for n in range(1, len(entries) + 1)]
            events = [Event.model_validate_json(fields["e"]) for _, fields in entries]
            assert [event.kind for event in events] == job.kinds, job
            assert job.kinds.count("end") == job.state.terminal, job
            assert "end" not in job.kinds[:-1], job
            assert text_of(events) == job.text, job
            tokens = sum(event.tokens for event in events)
            assert tokens == job.made, job

    @invariant()
    def each_job_is_in_the_one_place_of_its_state(self) -> None:
        where: dict[str, list[str]] = {job_id: [] for job_id in self.jobs}
        for name in self.places:
            sets = {"waiting": keys.waiting, "woken": keys.woken, "running": keys.running}
            for kind, key in sets.items():
                for job_id in self.redis.zrange(key(name), 0, -1):
                    assert self.jobs[job_id].instance == name
                    where[job_id].append(kind)
        for job_id in self.redis.zrange(keys.DELAYED, 0, -1):
            where[job_id].append("delayed")
        on_their_way = {wakeup.job_id for wakeup in self.hand} | self.dropped
        for place in self.places.values():
            for raw in chain(*(self.redis.lrange(one, 0, -1) for one in place.lists)):
                on_their_way.add(id_of(raw))
        for job in self.jobs.values():
            if job.state is State.QUEUED:
                assert where[job.id] == (["delayed"] if job.delayed else where[job.id]), job
                assert where[job.id] in (["waiting"], ["woken"], ["delayed"]), job
                assert where[job.id] != ["woken"] or job.id in on_their_way, job
            else:
                assert where[job.id] == (["running"] if job.state is State.RUNNING else []), job

    @invariant()
    def the_lists_are_short_and_topped_up(self) -> None:
        for place in self.places.values():
            scores = self.redis.zrange(keys.waiting(place.name), 0, -1, withscores=True)
            waiting = Counter(self.jobs[job_id].band for job_id, _ in scores)
            for band, name in enumerate(place.lists):
                found = self.redis.lrange(name, 0, -1)
                pushed = [raw for raw in found if '"again.' not in raw]
                given_back = [raw for raw in pushed if self.jobs[id_of(raw)].again]
                assert len(pushed) - len(given_back) <= place.slots + 1, (place, band)
                if waiting[band]:
                    assert len(found) + place.popped[band] >= place.slots + 1, (place, band)
            for job_id, score in scores:
                assert int(score) // 2**50 == self.jobs[job_id].band
                assert score == int(score)

    @invariant()
    def a_tenants_jobs_of_one_priority_stay_in_their_order(self) -> None:
        order = {job_id: number for number, job_id in enumerate(self.jobs)}
        for name in self.places:
            lanes: dict[tuple[int, str], list[int]] = {}
            for job_id in self.redis.zrange(keys.waiting(name), 0, -1):
                job = self.jobs[job_id]
                if "requeued" not in job.kinds:
                    lanes.setdefault((job.band, job.request.tenant), []).append(order[job_id])
            for lane in lanes.values():
                assert lane == sorted(lane)

    def teardown(self) -> None:
        """At rest nothing is held, and nothing but Celery's own lists knows of a job that ended."""
        for job in unfinished(self):
            if job.state is State.RUNNING:
                self._finish(job, State.SUCCEEDED, 0)
            else:
                self.cancel(job)
        self.check_all()
        for level in self.accounts:
            assert int(self.redis.hget(level, "held") or 0) == 0
        self._usage_adds_up()
        for name in self.places:
            for key in (keys.waiting, keys.woken, keys.running):
                assert self.redis.zcard(key(name)) == 0
        for job in self.jobs.values():
            assert text_of(replay(self.ledger, job.id)) == job.text
        self.ledger.close()

    def check_all(self) -> None:
        for check in (
            self.budgets_add_up,
            self.idle_sessions_and_episodes_go_and_no_other_level,
            self.jobs_are_what_they_should_be,
            self.streams_have_no_gap_and_one_end,
            self.each_job_is_in_the_one_place_of_its_state,
            self.the_lists_are_short_and_topped_up,
        ):
            check()

    # The calls

    def _register(self, name: str, owner: str, gone_owner: str = "") -> None:
        place = self.places[name]
        descriptor = Descriptor(name=name, backend="mock", model="mock", slots=place.slots)
        self.ledger.run(
            instances.register(
                descriptor,
                owner=owner,
                node=f"{name}@nowhere",
                pid=1,
                wakeup=WAKEUP,
                grace_ms=3_600_000,
                gone_owner=gone_owner,
            )
        )
        place.owner, place.failed = owner, False

    def _submit(self, job: Job, name: str, hold: int, room: int) -> str:
        return self.ledger.run(
            jobs.submit(
                job.id,
                job.request,
                instance=name,
                hold=hold,
                levels=job.levels,
                max_attempts=job.attempts,
                max_waiting=room,
            )
        )

    def _take(self, name: str) -> WakeUp | None:
        """As kombu takes one: BRPOP over the lists, the best priority first."""
        place = self.places[name]
        lengths = [self.redis.llen(one) for one in place.lists]
        if not any(lengths):
            return None
        came_from, raw = self.redis.brpop(place.lists, timeout=1)
        band = place.lists.index(came_from)
        assert band == next(number for number, length in enumerate(lengths) if length)
        place.popped[band] += 1
        return WakeUp(name, band, raw)

    def _claim(self, job_id: str, name: str, nonce: str = "") -> None:
        self.nonces += 1
        nonce = nonce or f"nonce {self.nonces}"
        job, owner = self.jobs.get(job_id), self.places[name].owner
        pid = (job.fence if job else 0) + 101
        answer = self.ledger.run(
            jobs.claim(job_id, instance=name, owner=owner, pid=pid, lease_ms=60_000, nonce=nonce)
        )
        self._pushed(name)
        if job is None:
            assert answer == Noop("gone")
        elif job.state is State.RUNNING and job.nonce == nonce:
            assert isinstance(answer, Claim)
            assert (answer.fence, answer.held, answer.made) == (job.fence, job.held, job.made)
            assert answer.deadline_ms == job.claim.deadline_ms
        elif job.state is State.QUEUED and job.instance == name:
            assert isinstance(answer, Claim)
            assert (answer.fence, answer.held, answer.made) == (job.fence + 1, job.held, job.made)
            assert (answer.failures, answer.prompt_tokens) == (job.failures, job.prompt)
            assert answer.request == job.request.to_json()
            assert answer.submitted_ms <= answer.claimed_ms
            assert answer.deadline_ms - answer.claimed_ms <= job.request.timeout_s * 1000
            job.state, job.fence, job.nonce, job.chunk = State.RUNNING, answer.fence, nonce, 0
            job.owner, job.delayed = owner, False
            job.claims.append(answer)
            self.dropped.discard(job_id)
        else:
            assert answer == Noop(str(job.state))

    def _emit(
        self, job: Job, claim: Claim, chunk: int, tokens: int, prompt: int, below: int
    ) -> None:
        place = self.places[job.instance]
        busy = self.redis.zcard(keys.running(job.instance)) >= place.slots
        better = sum(self.redis.llen(name) for name in place.lists[:below])
        place.leaving = {one for one in place.leaving if self.jobs[one].state is State.RUNNING}
        makes_way = busy and better and (job.id in place.leaving or len(place.leaving) < better)
        before = self._now_ms()
        word = self._send(job, claim, chunk, tokens, prompt, below)
        if chunk > job.chunk:
            if job.made + tokens + prompt > job.held:
                assert word == "budget"
                return
            job.chunk, job.made, job.prompt = chunk, job.made + tokens, prompt
            job.kinds.append("chunk")
            job.text += text_for(claim, chunk)
        may_be = {"yield" if makes_way else "go"}
        if job.stop:
            may_be = {"cancel"}
        elif before > claim.deadline_ms:
            may_be = {"deadline"}
        elif self._now_ms() > claim.deadline_ms:
            may_be.add("deadline")
        assert word in may_be
        if word == "yield":
            place.leaving.add(job.id)

    def _send(
        self, job: Job, claim: Claim, chunk: int, tokens: int, prompt: int, below: int
    ) -> str:
        event = Event(kind="chunk", attempt=claim.fence, text=text_for(claim, chunk), tokens=tokens)
        return self.ledger.run(
            jobs.emit(
                job.id,
                instance=job.instance,
                fence=claim.fence,
                chunk=chunk,
                tokens=tokens,
                prompt_tokens=prompt,
                event=event,
                slots=self.places[job.instance].slots,
                yields_to_bands_below=below,
            )
        )

    def _hold(self, job: Job, claim: Claim, wanted: int, least: int) -> int | None:
        return self.ledger.run(
            jobs.hold(job.id, fence=claim.fence, wanted=wanted, least=least, levels=job.levels)
        )

    def _requeue(self, job: Job, claim: Claim, failed: bool) -> str:
        return self.ledger.run(
            jobs.requeue(
                job.id,
                instance=job.instance,
                fence=claim.fence,
                reason="worker lost" if failed else "yield",
                failed=failed,
            )
        )

    def _finish(self, job: Job, state: State, prompt: int) -> None:
        for _ in range(2):  # the reply may be lost
            assert self._send_finish(job, job.claim, state, prompt)
        self._ends(job, state, max(prompt, job.prompt))

    def _send_finish(self, job: Job, claim: Claim, state: State, prompt: int) -> bool:
        result = Result(
            job_id=job.id,
            state=state,
            text=job.text,
            usage=Usage(prompt_tokens=prompt, completion_tokens=job.made),
            instance=job.instance,
        )
        call = jobs.finish(result, fence=claim.fence, levels=job.levels, model="mock")
        return self.ledger.run(call)

    def _cancel(self, job: Job, name: str) -> str:
        usage = Usage(prompt_tokens=job.prompt, completion_tokens=job.made)
        result = Result(job_id=job.id, state=State.CANCELLED, instance=name, usage=usage)
        return self.ledger.run(jobs.cancel(result, levels=job.levels))

    # The model

    def _give_back(self, job: Job, failed: bool) -> None:
        answer = self._requeue(job, job.claim, failed)
        if job.stop:
            assert answer == "stopped"
            self._finish(job, State.CANCELLED, 0)
        elif job.failures + failed >= job.attempts:
            assert answer == "exhausted"
            self._finish(job, State.DEAD, 0)
        else:
            assert answer == "queued"
            job.state, job.failures = State.QUEUED, job.failures + failed
            job.delayed, job.again = failed and job.failures > 1, True
            self.places[job.instance].leaving.discard(job.id)
            job.kinds.append("requeued")

    def _ends(self, job: Job, state: State, prompt: int) -> None:
        job.state, job.cost, job.delayed = state, prompt + job.made, False
        job.kinds.append("end")
        for account in self._accounts(job):
            account.settle(job.cost, job.held)

    def _accounts(self, job: Job) -> list[ModelAccount]:
        return [self.accounts[level.key] for level in job.levels]

    def _usage_adds_up(self) -> None:
        expected: Counter[tuple[str, str, str]] = Counter()
        for job in self.jobs.values():
            if job.claims:
                expected[job.request.tenant, job.request.agent_id, "mock"] += job.cost
        found: Counter[tuple[str, str, str]] = Counter()
        tenants, today = self.ledger.run(read_tenants())
        for tenant in tenants:
            for one in self.ledger.run(read_usage(tenant, [today - 1, today])):
                found[one.tenant, one.agent, one.model] += one.prompt_tokens + one.completion_tokens
        assert +found == +expected

    def _listed(self, name: str) -> set[str]:
        """Jobs that have a wake-up in Celery's lists."""
        lists = self.places[name].lists
        return {id_of(raw) for one in lists for raw in self.redis.lrange(one, 0, -1)}

    def _pushed(self, name: str) -> None:
        self.places[name].popped.clear()

    def _entries(self) -> Iterator[tuple[Job, tuple[status.JobEntry, int]]]:
        if not self.jobs:
            return
        entries = self.ledger.run_many([status.read_job(job_id) for job_id in self.jobs])
        pipe = self.redis.pipeline(transaction=False)
        for job_id in self.jobs:
            pipe.pttl(keys.job(job_id))
        for job, entry, ttl_ms in zip(self.jobs.values(), entries, pipe.execute(), strict=True):
            assert isinstance(entry, status.JobEntry)
            yield job, (entry, ttl_ms)

    def _index(self, window: Window) -> int:
        return windows.index(window, self._now_ms())

    def _midnight_may_pass(self) -> None:
        if self._index("day") != self.day:
            self.day = self._index("day")
            for account in self.accounts.values():
                account.turn("day")
                if self.redis.hget(account.level.key, "at:month") != str(self._index("month")):
                    account.turn("month")

    def _now_ms(self) -> int:
        seconds, micros = self.redis.time()
        return int(seconds * 1000 + micros // 1000)


def sums_of(answer: str | ApexError) -> Any:
    """An answer without the times in it."""
    if isinstance(answer, QueueFull):
        return [answer.instance, answer.waiting]
    if not isinstance(answer, BudgetExceeded):
        return str(answer)
    facts = answer.facts
    return [facts[name] for name in ("scope", "limit", "used", "held", "requested", "window")]


def text_for(claim: Claim, chunk: int) -> str:
    """A text that no other chunk has."""
    return f"{claim.fence}.{chunk} "


def other_than(instance: str) -> str:
    return next(name for name in INSTANCES if name != instance)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.server(servers.embedded(), tmp_path_factory.mktemp("machine")) as (url, _):
        yield url


def test_the_books_are_right_whatever_happens_in_whatever_order(url: str) -> None:
    run_state_machine_as_test(partial(Books, url), settings=SHORT)


# What the model found no words for


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """The server, emptied, with one instance of four slots."""
    ledger = Ledger(url)
    ledger.redis.flushall()
    register(ledger, slots=4)
    yield ledger
    ledger.close()


@pytest.fixture
def client(url: str, ledger: Ledger) -> Iterator[LLMClient]:
    with LLMClient(load_settings(env={}, redis_url=url)) as client:
        yield client


def claim(ledger: Ledger, job_id: str) -> Claim:
    call = jobs.claim(
        job_id, instance="inst0", owner=OWNER, pid=1, lease_ms=60_000, nonce=f"for {job_id}"
    )
    taken = ledger.run(call)
    assert isinstance(taken, Claim)
    return taken


def emit(ledger: Ledger, claim: Claim) -> str:
    event = Event(kind="chunk", attempt=claim.fence, text="x", tokens=1)
    return ledger.run(
        jobs.emit(
            claim.job_id,
            instance="inst0",
            fence=claim.fence,
            chunk=1,
            tokens=1,
            prompt_tokens=1,
            event=event,
            slots=4,
            yields_to_bands_below=3,
        )
    )


def test_one_better_job_asks_one_of_many_to_make_way(client: LLMClient, ledger: Ledger) -> None:
    low = [client.submit("hello", agent_id="a", priority="LOW") for _ in range(4)]
    claims = [claim(ledger, job.id) for job in low]
    client.submit("hello", agent_id="b", priority="URGENT")

    words = [emit(ledger, one) for one in claims]

    assert words.count("yield") == 1


def test_a_worker_that_starts_is_woken_for_every_job_that_waits(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given as many lost wake-ups as the list holds
    waiting = [client.submit("hello", agent_id="a").id for _ in range(9)]
    ledger.redis.delete(f"inst0{keys.PRIORITY_SEPARATOR}6")

    # When
    register(ledger, slots=4)
    take_over(ledger, BUDGETS, BUDGETS.instance("inst0"), gone="")

    # Then
    served = []
    while taken := ledger.redis.rpop(f"inst0{keys.PRIORITY_SEPARATOR}6"):
        served.append(claim(ledger, id_of(taken)).job_id)
    assert sorted(served) == sorted(waiting)


@pytest.fixture
def full(ledger: Ledger) -> Iterator[Callable[[], Any]]:
    """Fills the server up when it is called."""
    yield lambda: ledger.redis.config_set("maxmemory", 1000)
    ledger.redis.config_set("maxmemory", 0)


def test_a_full_redis_still_says_where_a_job_stands(
    client: LLMClient, full: Callable[[], Any]
) -> None:
    job = client.submit("hello", agent_id="a")
    full()

    assert job.status().state is State.QUEUED


def test_a_full_redis_is_named_to_each_of_many_submits(
    client: LLMClient, url: str, full: Callable[[], Any]
) -> None:
    client.submit("hello", agent_id="a")
    full()

    (job,) = client.submit_many([{"prompt": "hello", "agent_id": "a"}])

    assert url in str(job.refused)


def test_a_redis_that_is_busy_with_a_script_is_away_not_damaged(
    client: LLMClient, ledger: Ledger, url: str
) -> None:
    # Given
    job = client.submit("hello", agent_id="a")
    ledger.redis.config_set("lua-time-limit", 10)
    spin = "while redis.call('EXISTS', 'never') == 0 do end"

    def occupy() -> None:
        with redis.Redis.from_url(url) as other, pytest.raises(redis.ResponseError):
            other.eval(spin, 0)

    # When
    with ThreadPoolExecutor(1) as pool:
        spinning = pool.submit(occupy)
        try:
            eventually(lambda: is_busy(ledger))
            # Then
            with pytest.raises(RedisUnavailable):
                claim(ledger, job.id)
        finally:
            ledger.redis.script_kill()
            spinning.result(10)


def is_busy(ledger: Ledger) -> bool:
    try:
        ledger.redis.exists("anything")
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


def run_long(examples: int) -> None:
    """Random examples, more and longer ones."""
    longer = settings(SHORT, max_examples=examples, stateful_step_count=80, derandomize=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.server(servers.embedded(), Path(folder)) as (url, _),
    ):
        run_state_machine_as_test(partial(Books, url), settings=longer)


if __name__ == "__main__":
    run_long(int(sys.argv[1]))
