"""The ledger, and what it should hold: every call is made and held against the model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from ledger import keys, windows
from ledger.errors import ApexError, QueueFull
from ledger.jobs import Claim, Noop
from ledger.levels import Level
from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.windows import Window
from tests.support.ledger_model.account import ModelAccount
from tests.support.ledger_model.calls import Calls, text_for
from tests.support.ledger_model.job import Job
from tests.support.ledger_model.place import Place
from tests.support.ledger_model.wake_up import WakeUp, id_of

Chunk = tuple[int, int, int]  # tokens of the answer, tokens of the prompt, yields to bands below


class Books:
    """Jobs, instances and accounts as they must be after each call."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger(url)
        self.redis: Any = self.ledger.redis
        self.redis.flushall()
        self.calls = Calls(self.ledger)
        self.jobs: dict[str, Job] = {}
        self.places: dict[str, Place] = {}
        self.accounts: dict[str, ModelAccount] = {}
        self.hand: list[WakeUp] = []
        self.dropped: set[str] = set()
        self.numbers = count(1)  # of the jobs that are ordered
        self._day = self.index_of("day")
        self._nonces = 0

    # Producers

    def account_for(self, levels: Sequence[Level]) -> None:
        """From now on there are accounts of these levels."""
        for level in levels:
            self.accounts.setdefault(level.key, ModelAccount(level))

    def accounts_of(self, job: Job) -> list[ModelAccount]:
        return [self.accounts[level.key] for level in job.levels]

    def accepted(self, job: Job, waiting: int, room: int) -> str | ApexError:
        """What a submit of the job must be answered."""
        if job.id in self.jobs:
            return job.instance
        if waiting >= room:
            return QueueFull(instance=job.instance, waiting=waiting)
        accounts = self.accounts_of(job)
        for refusal in filter(None, (account.refusal(job.held) for account in accounts)):
            return refusal
        for account in accounts:
            account.hold(job.held)
        self.places[job.instance].popped.pop(job.band, None)
        return job.instance

    def cancel(self, job: Job) -> None:
        answer = self.calls.cancel(job, job.instance)
        if job.state is State.QUEUED:
            assert answer == "cancelled"
            self._ends(job, State.CANCELLED, job.prompt)
        else:
            assert answer == "stopping"
            job.stop = "cancel"

    # Workers

    def register(self, name: str, owner: str, gone_owner: str = "") -> None:
        place = self.places[name]
        self.calls.register(name, place.slots, owner, gone_owner)
        place.owner, place.failed = owner, False

    def take(self, name: str) -> WakeUp | None:
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

    def claim(self, job_id: str, name: str, nonce: str = "") -> None:
        self._nonces += 1
        nonce = nonce or f"nonce {self._nonces}"
        job, owner = self.jobs.get(job_id), self.places[name].owner
        pid = (job.fence if job else 0) + 101
        answer = self.calls.claim(job_id, name, owner, pid, nonce)
        self.pushed(name)
        if job is None:
            assert answer == Noop("gone")
        elif job.state is State.RUNNING and job.nonce == nonce:
            assert isinstance(answer, Claim)
            assert (answer.fence, answer.held, answer.made) == (job.fence, job.held, job.made)
            assert answer.deadline_ms == job.claim.deadline_ms
        elif job.state is State.QUEUED and job.instance == name:
            assert isinstance(answer, Claim)
            self._begins(job, answer, owner, nonce)
        else:
            assert answer == Noop(str(job.state))

    def emit(self, job: Job, claim: Claim, number: int, chunk: Chunk) -> None:
        tokens, prompt, below = chunk
        place = self.places[job.instance]
        makes_way = self._must_make_way(job, below)
        before = self._now_ms()
        word = self.calls.emit(job, claim, number, tokens, prompt, below, place.slots)
        if number > job.chunk:
            if job.made + tokens + prompt > job.held:
                assert word == "budget"
                return
            job.chunk, job.made, job.prompt = number, job.made + tokens, prompt
            job.kinds.append("chunk")
            job.text += text_for(claim, number)
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

    def give_back(self, job: Job, failed: bool) -> None:
        answer = self.calls.requeue(job, job.claim, failed)
        if job.stop:
            assert answer == "stopped"
            self.finish(job, State.CANCELLED, 0)
        elif job.failures + failed >= job.attempts:
            assert answer == "exhausted"
            self.finish(job, State.DEAD, 0)
        else:
            assert answer == "queued"
            job.state, job.failures = State.QUEUED, job.failures + failed
            job.delayed, job.again = failed and job.failures > 1, True
            self.places[job.instance].leaving.discard(job.id)
            job.kinds.append("requeued")

    def finish(self, job: Job, state: State, prompt: int) -> None:
        for _ in range(2):  # the reply may be lost
            assert self.calls.finish(job, job.claim, state, prompt)
        self._ends(job, state, max(prompt, job.prompt))

    def _begins(self, job: Job, claim: Claim, owner: str, nonce: str) -> None:
        assert (claim.fence, claim.held, claim.made) == (job.fence + 1, job.held, job.made)
        assert (claim.failures, claim.prompt_tokens) == (job.failures, job.prompt)
        assert claim.request == job.request.to_json()
        assert claim.submitted_ms <= claim.claimed_ms
        assert claim.deadline_ms - claim.claimed_ms <= job.request.timeout_s * 1000
        job.state, job.fence, job.nonce, job.chunk = State.RUNNING, claim.fence, nonce, 0
        job.owner, job.delayed = owner, False
        job.claims.append(claim)
        self.dropped.discard(job.id)

    def _must_make_way(self, job: Job, below: int) -> bool:
        """Whether a better job waits that no other running one was asked to make way for."""
        place = self.places[job.instance]
        busy = self.redis.zcard(keys.running(job.instance)) >= place.slots
        better = sum(self.redis.llen(name) for name in place.lists[:below])
        place.leaving = {one for one in place.leaving if self.jobs[one].state is State.RUNNING}
        return bool(busy and better and (job.id in place.leaving or len(place.leaving) < better))

    def _ends(self, job: Job, state: State, prompt: int) -> None:
        job.state, job.cost, job.delayed = state, prompt + job.made, False
        job.kinds.append("end")
        for account in self.accounts_of(job):
            account.settle(job.cost, job.held)

    # Wake-ups

    def listed(self, name: str) -> set[str]:
        """Jobs that have a wake-up in Celery's lists."""
        lists = self.places[name].lists
        return {id_of(raw) for one in lists for raw in self.redis.lrange(one, 0, -1)}

    def pushed(self, name: str) -> None:
        """Wake-ups were pushed, so that its lists are as long as they should be."""
        self.places[name].popped.clear()

    # Time

    def index_of(self, window: Window) -> int:
        return windows.index(window, self._now_ms())

    def midnight_may_pass(self) -> None:
        if self.index_of("day") != self._day:
            self._day = self.index_of("day")
            for account in self.accounts.values():
                account.turn("day")
                if self.redis.hget(account.level.key, "at:month") != str(self.index_of("month")):
                    account.turn("month")

    def _now_ms(self) -> int:
        seconds, micros = self.redis.time()
        return int(seconds * 1000 + micros // 1000)
