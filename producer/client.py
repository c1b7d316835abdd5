"""The client for code that waits. `producer.aio` has the same with await."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from types import TracebackType
from typing import Any, Self

from ledger.accounts import Account
from ledger.errors import ApexError
from ledger.levels import Level
from ledger.messages import Event, Result
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from ledger.steps import drive
from ledger.usage import Spent
from producer import draining
from producer.accounting import Accounting
from producer.bulk import BATCH_JOBS, pipelines, refusals, rerouted
from producer.cache import answered
from producer.draining import Shift
from producer.job import Job
from producer.operations import ROUTE_TRIES, Operations, Order
from producer.session import Session


class LLMClient:
    """Enqueues requests and reads their answers. Threads may share one.

    Takes ``prompt`` or ``messages``, and ``agent_id, session_id, episode_id, tenant, model,
    instance, priority, max_tokens, temperature, top_p, top_k, stop, seed, logit_bias, logprobs,
    response_format, tools, history, cache, idempotency_key, timeout_s, metadata``;
    :class:`ledger.messages.Request` says what each is.
    """

    def __init__(self, settings: Settings | None = None, *, tenant: str = "default") -> None:
        self.settings = settings or load_settings()
        self._ledger = Ledger(self.settings.redis_url)
        self._operations = Operations(self.settings, tenant)
        self._accounting = Accounting(self.settings, tenant)

    def submit(self, prompt: str | None = None, **options: Any) -> Job:
        """Enqueues one request and returns at once.

        Raises:
            InvalidRequest, BudgetExceeded, EpisodeOver, QueueFull, NoInstance, UnknownModel,
            IdempotencyConflict: nothing was enqueued.
            RedisUnavailable: what Redis did not answer it may still have done; with an
                ``idempotency_key`` the request may be repeated.
        """
        return self.send(self.order(prompt, **options))

    def order(self, prompt: str | None = None, **options: Any) -> Order:
        """A request that :meth:`send` enqueues; its ``.job_id`` is known before anything is sent.

        Raises:
            InvalidRequest
        """
        return self._operations.order(prompt, **options)

    def send(self, order: Order) -> Job:
        """Enqueues an order; raises as :meth:`submit`. Sent again, it finds its job."""
        drive(self._ledger, self._operations.submit(order))
        return self.job(order.job_id)

    def submit_many(self, requests: Iterable[Mapping[str, Any]]) -> list[Job]:
        """Enqueues many requests in pipelines, each atomic by itself, in their order.

        All are validated before the first is sent. One that is refused (say by a budget) does not
        stop the others: its job has ``.refused`` and raises that when it is waited for.

        Raises:
            InvalidRequest, NoInstance, UnknownModel: nothing was enqueued.
            RedisUnavailable: Redis went away; repeat with idempotency keys to enqueue the rest.
        """
        orders = self._operations.orders(requests)
        known: set[int] = set()
        lookups = drive(self._ledger, self._operations.lookups(orders))
        for some in pipelines(lookups, BATCH_JOBS):
            known |= answered(some, self._ledger.run_many([one.call for one in some]))
        refused: dict[int, ApexError | None] = dict.fromkeys(known)
        places = [place for place in range(len(orders)) if place not in known]
        for _ in range(ROUTE_TRIES):
            batches = drive(self._ledger, self._operations.submissions(orders, places))
            for sent in pipelines(batches):
                replies = self._ledger.run_many([batch.call for batch in sent])
                refused.update(refusals(sent, replies))
            places = rerouted(refused)
            if not places:
                break
            self._operations.forget_routes()
        return [
            Job(order.job_id, self._ledger, self._operations, refused[place])
            for place, order in enumerate(orders)
        ]

    def complete(self, prompt: str | None = None, **options: Any) -> Result:
        """Enqueues a request, waits for its end and returns the record.

        Raises:
            What :meth:`submit` and :meth:`producer.job.Job.result` raise.
        """
        return self.submit(prompt, **options).result()

    def chat(self, messages: Iterable[Mapping[str, str]], **options: Any) -> Result:
        """As :meth:`complete`, for a list of ``{"role": …, "content": …}``."""
        return self.complete(messages=tuple(messages), **options)

    def stream(self, prompt: str | None = None, **options: Any) -> Iterator[Event]:
        """Enqueues a request at once and returns the iterator over its answer."""
        return self.submit(prompt, **options).stream()

    def job(self, job_id: str) -> Job:
        """The handle of a job that was submitted before, here or elsewhere."""
        return Job(job_id, self._ledger, self._operations)

    def episode(
        self, episode_id: str, *, token_budget: int | None = None, timeout_s: float | None = None
    ) -> Episode:
        """Opens a run of many jobs under one budget (tokens) and one deadline (seconds).

        An episode that is open keeps its deadline; a ``token_budget`` replaces its limit.

        Raises:
            InvalidRequest, RedisUnavailable
        """
        level = drive(
            self._ledger, self._operations.open_episode(episode_id, token_budget, timeout_s)
        )
        return Episode(self, episode_id, level)

    def session(self, agent_id: str, session_id: str) -> Session:
        """The handle of a session of this client's tenant: its turns, and how to forget them.

        Raises:
            InvalidRequest
        """
        return Session(agent_id, session_id, self._ledger, self._operations)

    def set_budget(
        self, scope: str, own_id: str, *, agent_id: str | None = None, **limits: int | None
    ) -> Account:
        """Sets limits of tokens that count from now on, before those of the settings.

        Args:
            scope: ``tenant``, ``agent``, ``role``, ``session`` or ``episode``.
            own_id: of the tenant, agent, and so on; agents, roles, sessions and episodes are those
                of this client's tenant.
            agent_id: whose session it is.
            limits: ``tokens`` (a total), ``tokens_per_hour``, ``tokens_per_day``,
                ``tokens_per_month`` (windows of UTC). What is left out stays as it is.

        Returns:
            The level as it is then.

        Raises:
            InvalidRequest, RedisUnavailable
        """
        level = self._accounting.level(scope, own_id, agent_id)
        return drive(self._ledger, self._accounting.set(level, limits))

    def reset_budget(self, scope: str, own_id: str, *, agent_id: str | None = None) -> Account:
        """Takes back the limits that were set: those of the settings count again."""
        level = self._accounting.level(scope, own_id, agent_id)
        return drive(self._ledger, self._accounting.reset(level))

    def show_budget(self, scope: str, own_id: str, *, agent_id: str | None = None) -> Account:
        """Limits and tokens as they are: ``.limit .used .held .windows``."""
        level = self._accounting.level(scope, own_id, agent_id)
        return drive(self._ledger, self._accounting.show(level))

    def usage(self, *, since: date | None = None) -> list[Spent]:
        """What the tenant spent since a day (UTC), by day, agent and model."""
        return drive(self._ledger, self._accounting.usage(self._accounting.tenant, since))

    def drain(self, instance: str) -> Shift:
        """Has an instance finish what runs and start nothing more, also after a restart.

        Its waiting jobs go to the next instances of their agents. Jobs wait on that only this
        instance may run, or whose model no other living one has.

        Raises:
            NoInstance, RedisUnavailable
        """
        return drive(self._ledger, draining.drain(instance, self.settings.absent_s))

    def resume(self, instance: str) -> Shift:
        """Has a drained instance take jobs again; those of its agents that wait come back to it.

        Raises:
            NoInstance, RedisUnavailable
        """
        return drive(self._ledger, draining.resume(instance, self.settings.absent_s))

    def get_stats(self) -> dict[str, Any]:
        """The tenant's ``tokens_used``, ``tokens_held`` and ``budget`` (None: no limit)."""
        return drive(self._ledger, self._operations.stats())

    def close(self) -> None:
        """Gives the connections back."""
        self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Episode:
    """Requests of one episode. Leaving the block leaves the episode as it is."""

    def __init__(self, client: LLMClient, episode_id: str, level: Level) -> None:
        self.id = episode_id
        self._client, self._level = client, level

    def submit(self, prompt: str | None = None, **options: Any) -> Job:
        """As :meth:`LLMClient.submit`."""
        return self._client.submit(prompt, **options, episode_id=self.id)

    def complete(self, prompt: str | None = None, **options: Any) -> Result:
        """As :meth:`LLMClient.complete`."""
        return self._client.complete(prompt, **options, episode_id=self.id)

    def chat(self, messages: Iterable[Mapping[str, str]], **options: Any) -> Result:
        """As :meth:`LLMClient.chat`."""
        return self._client.chat(messages, **options, episode_id=self.id)

    def stream(self, prompt: str | None = None, **options: Any) -> Iterator[Event]:
        """As :meth:`LLMClient.stream`."""
        return self._client.stream(prompt, **options, episode_id=self.id)

    def progress(self, kind: str, /, **facts: Any) -> float:
        """Reports progress; near the deadline it moves the deadline, never past the cap.

        Args:
            kind: ``tests_discovered``, ``tests_run``, ``file_written``, ``patch_applied``,
                ``topology_switched``, ``llm_response`` (of a model elsewhere) or ``custom``.
                Tokens of the episode's own jobs count by themselves.
            facts: what the heartbeat's line says of it, such as ``passed=12``; 500 bytes of JSON.

        Returns:
            The seconds that are left.

        Raises:
            InvalidRequest, EpisodeOver, RedisUnavailable
        """
        steps = self._client._operations.progress(self._level, kind, facts)
        return drive(self._client._ledger, steps)

    def get_stats(self) -> dict[str, Any]:
        """The episode's ``tokens_used``, ``tokens_held`` and ``budget``, ``budget_low`` (80 % of
        it are spent, by jobs that ended or still run), and ``time_remaining_s``.
        """
        steps = self._client._operations.episode_stats(self._level)
        return drive(self._client._ledger, steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
