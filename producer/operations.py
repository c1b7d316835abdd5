"""What a client does, as steps that the sync and the asyncio client drive alike."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import budgets
from budgets.low import is_low
from budgets.progress import check_kind, packed
from ledger import accounts, jobs, sessions, status
from ledger.accounts import Account
from ledger.episodes import EpisodeFacts, open_episode, progress, read_episode
from ledger.errors import (
    InvalidRequest,
    JobNotFound,
    NoInstance,
)
from ledger.levels import Level
from ledger.messages import Request, parse_request
from ledger.scripts import Call
from ledger.sessions import Session
from ledger.settings import Settings
from ledger.status import JobEntry, JobStatus
from ledger.steps import Steps
from producer.arguments import IDENTIFIER, KEY, SECONDS, TOKENS, check
from producer.bulk import Batch, cut
from producer.cache import Answers, Lookup, marked
from producer.routes import Routes

ROUTE_TRIES = 3  # instances that come and go at this very moment
TIME_LIMITS = ("timeout_s", "queue_timeout_s", "first_token_timeout_s", "token_timeout_s")

_KEY_SPACE = uuid.UUID("5f0c9b5e-58a5-4f0e-9c61-0d1c1f3a7d10")


@dataclass(frozen=True, slots=True)
class Order:
    """A request, validated and with its job id; nothing was sent yet."""

    job_id: str
    request: Request
    body: str  # the request's JSON


class Operations:
    """Shared by the clients."""

    def __init__(self, settings: Settings, tenant: str) -> None:
        self.settings, self.tenant = settings, tenant
        self._routes = Routes(settings)
        self._answers = Answers(settings, self._routes)
        limits = {name: getattr(settings, name) for name in TIME_LIMITS}
        self._defaults: dict[str, Any] = {
            "tenant": tenant,
            "max_tokens": settings.max_tokens,
            **{name: limit_s for name, limit_s in limits.items() if limit_s is not None},
        }

    def order(
        self, prompt: str | None = None, *, idempotency_key: str | None = None, **fields: Any
    ) -> Order:
        """Validates a request.

        Raises:
            InvalidRequest
        """
        if prompt is not None:
            fields["prompt"] = prompt
        fields = {**self._defaults, **fields}
        request = marked(parse_request(**fields), self.settings)
        body = request.to_json()
        size = len(body.encode())
        if size > self.settings.max_prompt_bytes:
            raise InvalidRequest(
                f"The prompt and options have {size:,} bytes and may have "
                f"{self.settings.max_prompt_bytes:,}; shorten them or raise APEX_MAX_PROMPT_BYTES."
            )
        return Order(_job_id(request.tenant, idempotency_key), request, body)

    def orders(self, requests: Iterable[Mapping[str, Any]]) -> list[Order]:
        """Validates many requests.

        Raises:
            InvalidRequest: for the first that is not valid.
        """
        found = []
        for number, request in enumerate(requests):
            if not isinstance(request, Mapping):
                raise InvalidRequest(
                    f"Request {number} is a {type(request).__name__}; "
                    "it takes a dict of options such as prompt and agent_id."
                )
            found.append(self.order(**request))
        return found

    def submit(self, order: Order) -> Steps[None]:
        """Enqueues an order, unless the cache has its answer."""
        for again in reversed(range(ROUTE_TRIES)):
            try:
                yield from self._routes.refresh()
                lookup = self._answers.call_for(order.job_id, order.request, order.body)
                if lookup is not None and (yield lookup):
                    return
                yield self._submission(order)
                return
            except NoInstance:
                self._routes.forget()
                if not again:
                    raise

    def lookups(self, orders: Sequence[Order]) -> Steps[list[Lookup]]:
        """The calls that answer from the cache those of the orders that have to do with it."""
        asking = [(place, order) for place, order in enumerate(orders) if order.request.cache]
        if not asking:
            return []
        yield from self._routes.refresh()
        calls = (
            (place, self._answers.call_for(order.job_id, order.request, order.body))
            for place, order in asking
        )
        return [Lookup(place, call) for place, call in calls if call is not None]

    def forget_routes(self) -> None:
        """What was known of the instances is out of date."""
        self._routes.forget()

    def submissions(self, orders: Sequence[Order], places: Iterable[int]) -> Steps[list[Batch]]:
        """The calls that enqueue the orders in these places, in order for each instance."""
        yield from self._routes.refresh()
        homes: dict[str, list[int]] = {}
        for place in places:
            homes.setdefault(self._routes.instance_for(orders[place].request), []).append(place)
        return [
            Batch(some, self._submissions(instance, [orders[place] for place in some]))
            for instance, own in homes.items()
            for some in (own[part] for part in cut([len(orders[place].body) for place in own]))
        ]

    def status(self, job_id: str) -> Steps[JobStatus]:
        """Where a job stands."""
        entry = yield from self._entry(job_id)
        found: JobStatus = yield status.job_status(job_id, entry.facts.instance)
        return found

    def cancel(self, job_id: str) -> Steps[str]:
        """Cancels a job; see :meth:`producer.job.Job.cancel`."""
        answer: str = yield from budgets.cancel(job_id, self.settings)
        return answer

    def account(self, level: Level) -> Steps[Account]:
        """The tokens of one budget level."""
        found: list[Account] = yield accounts.read_accounts([level])
        return found[0]

    def stats(self) -> Steps[dict[str, Any]]:
        """The tenant's tokens."""
        return stats_of((yield from self.account(budgets.tenant_level(self.tenant, self.settings))))

    def session(self, agent_id: str, session_id: str) -> Steps[Session]:
        """What a session of the tenant has."""
        found: Session = yield sessions.read_session(self.tenant, agent_id, session_id)
        return found

    def clear_session(self, agent_id: str, session_id: str) -> Steps[bool]:
        """Removes what a session of the tenant has; False where there was nothing."""
        cleared: bool = yield sessions.clear_session(self.tenant, agent_id, session_id)
        return cleared

    def check_session(self, agent_id: str, session_id: str) -> None:
        """Refuses names that no session can have.

        Raises:
            InvalidRequest
        """
        check("tenant", self.tenant, IDENTIFIER)
        check("agent_id", agent_id, IDENTIFIER)
        check("session_id", session_id, IDENTIFIER)

    def open_episode(
        self, episode_id: str, token_budget: int | None, timeout_s: float | None
    ) -> Steps[Level]:
        """Opens an episode and returns its budget level."""
        check("tenant", self.tenant, IDENTIFIER)
        check("episode_id", episode_id, IDENTIFIER)
        if token_budget is not None:
            check("token_budget", token_budget, TOKENS)
        if timeout_s is not None:
            check("timeout_s", timeout_s, SECONDS)
        level = budgets.episode_level(self.tenant, episode_id, self.settings)
        yield open_episode(
            level,
            token_budget=token_budget,
            timeout_s=timeout_s or self.settings.episode_timeout_s,
            cap_s=self.settings.episode_timeout_max_s,
        )
        return level

    def progress(self, level: Level, kind: str, facts: Mapping[str, Any]) -> Steps[float]:
        """Reports an episode's progress; returns the seconds left."""
        check_kind(kind)
        left_s: float = yield progress(
            level, kind=kind, facts=packed(facts), extend_s=self.settings.progress_extend_s
        )
        return left_s

    def episode_stats(self, level: Level) -> Steps[dict[str, Any]]:
        """An episode's tokens, whether they come to their end, and the time that is left."""
        found: EpisodeFacts | None = yield read_episode(level)
        if found is None:  # it was over for so long that it was forgotten
            limit = level.default.tokens if level.default else None
            return _episode_stats(Account(0, 0, limit), low=False, left_s=0.0)
        return _episode_stats(
            Account(found.used, found.held, found.limit),
            low=found.limit is not None and is_low(found.spent, found.limit),
            left_s=max(0, found.deadline_ms - found.now_ms) / 1000,
        )

    def _entry(self, job_id: str) -> Steps[JobEntry]:
        entry: JobEntry | None = yield status.read_job(job_id)
        if entry is None:
            raise JobNotFound(job_id=job_id)
        return entry

    def _submission(self, order: Order) -> Call[str]:
        request = order.request
        return jobs.submit(
            order.job_id,
            request,
            body=order.body,
            instance=self._routes.instance_for(request),
            hold=budgets.hold_for(request),
            levels=budgets.levels_of(request, self.settings),
            max_attempts=self.settings.max_attempts,
            max_waiting=self.settings.max_waiting,
            routes=self._routes.count,
        )

    def _submissions(self, instance: str, orders: Iterable[Order]) -> Call[Any]:
        return jobs.submit_many(
            [
                jobs.Submission(
                    order.job_id,
                    order.request,
                    order.body,
                    budgets.hold_for(order.request),
                    budgets.levels_of(order.request, self.settings),
                )
                for order in orders
            ],
            instance=instance,
            max_attempts=self.settings.max_attempts,
            max_waiting=self.settings.max_waiting,
            routes=self._routes.count,
        )


def stats_of(account: Account) -> dict[str, Any]:
    """A budget level under the names of the clients' ``get_stats``."""
    return {
        "tokens_used": account.used,
        "tokens_held": account.held,
        "budget": account.limit,
    }


def _episode_stats(account: Account, *, low: bool, left_s: float) -> dict[str, Any]:
    return {**stats_of(account), "budget_low": low, "time_remaining_s": left_s}


def new_job_id() -> str:
    """An id that no job has."""
    return str(uuid.uuid4())


def _job_id(tenant: str, idempotency_key: str | None) -> str:
    """A new id, or the one that belongs to the tenant's key: a repeated submit finds its job."""
    if idempotency_key is None:
        return new_job_id()
    check("idempotency_key", idempotency_key, KEY)
    return str(uuid.uuid5(_KEY_SPACE, f"{tenant}\x00{idempotency_key}"))
