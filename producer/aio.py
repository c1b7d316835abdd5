"""The client for asyncio: the same operations, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from datetime import date
from typing import Any, Self

from ledger import keys, status, stream
from ledger.accounts import Account
from ledger.errors import ApexError, JobNotFound, RedisUnavailable
from ledger.levels import Level
from ledger.messages import Event, Result, State
from ledger.outage import Outage
from ledger.redis_client import AsyncLedger
from ledger.settings import Settings, load_settings
from ledger.status import JobStatus
from ledger.steps import drive_async
from ledger.stream import Patience
from ledger.usage import Spent
from producer import draining
from producer.accounting import Accounting
from producer.arguments import CURSOR, IDENTIFIER, check
from producer.bulk import BATCH_JOBS, pipelines, refusals, rerouted
from producer.cache import answered
from producer.draining import Shift
from producer.operations import ROUTE_TRIES, Operations, Order
from producer.outcomes import error_of, raise_unless_succeeded
from producer.session import AsyncSession


class AsyncJob:
    """As :class:`producer.job.Job`."""

    def __init__(
        self,
        job_id: str,
        ledger: AsyncLedger,
        operations: Operations,
        refused: ApexError | None = None,
    ) -> None:
        check("job id", job_id, IDENTIFIER)
        self.id, self.refused = job_id, refused
        self._ledger, self._operations = ledger, operations

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"

    async def stream(
        self, *, after: int = 0, timeout_s: float | None = None
    ) -> AsyncGenerator[Event, None]:
        """As :meth:`producer.job.Job.stream`."""
        check("after", after, CURSOR)
        self._require_accepted()
        events = stream.follow_async(self._ledger, self.id, after=after, timeout_s=timeout_s)
        async with aclosing(events):
            async for event in events:
                if event.kind in ("chunk", "reset", "budget_low"):
                    yield event
                elif event.kind == "end" and event.state is not State.SUCCEEDED:
                    raise error_of(await self.outcome())

    async def result(self, timeout: float | None = None) -> Result:
        """As :meth:`producer.job.Job.result`."""
        return raise_unless_succeeded(await self.outcome(timeout))

    async def outcome(self, timeout: float | None = None) -> Result:
        """As :meth:`producer.job.Job.outcome`."""
        self._require_accepted()
        patience, outage = Patience(self.id, timeout), Outage()
        while True:
            try:
                return await self._await_end(patience, outage)
            except RedisUnavailable as error:
                await asyncio.sleep(patience.slice_s(outage.pause_s(error)))

    async def _await_end(self, patience: Patience, outage: Outage) -> Result:
        async with self._ledger.subscription(keys.stream(self.id)) as announcements:
            while True:
                entry = await self._ledger.run(status.read_job(self.id))
                outage.over()
                if entry is None:
                    raise JobNotFound(job_id=self.id)
                if entry.result is not None:
                    return entry.result
                while (said := await announcements.next(patience.slice_s())) is not None:
                    if stream.is_end(said):
                        break

    async def status(self) -> JobStatus:
        """As :meth:`producer.job.Job.status`."""
        return await drive_async(self._ledger, self._operations.status(self.id))

    async def cancel(self) -> str:
        """As :meth:`producer.job.Job.cancel`."""
        return await drive_async(self._ledger, self._operations.cancel(self.id))

    def _require_accepted(self) -> None:
        if self.refused is not None:
            raise self.refused


class AsyncLLMClient:
    """As :class:`producer.client.LLMClient`. It belongs to the event loop that first used it."""

    def __init__(self, settings: Settings | None = None, *, tenant: str = "default") -> None:
        self.settings = settings or load_settings()
        self._ledger = AsyncLedger(self.settings.redis_url)
        self._operations = Operations(self.settings, tenant)
        self._accounting = Accounting(self.settings, tenant)

    async def submit(self, prompt: str | None = None, **options: Any) -> AsyncJob:
        """As :meth:`producer.client.LLMClient.submit`."""
        return await self.send(self.order(prompt, **options))

    def order(self, prompt: str | None = None, **options: Any) -> Order:
        """As :meth:`producer.client.LLMClient.order`."""
        return self._operations.order(prompt, **options)

    async def send(self, order: Order) -> AsyncJob:
        """As :meth:`producer.client.LLMClient.send`."""
        await drive_async(self._ledger, self._operations.submit(order))
        return self.job(order.job_id)

    async def submit_many(self, requests: Iterable[Mapping[str, Any]]) -> list[AsyncJob]:
        """As :meth:`producer.client.LLMClient.submit_many`."""
        orders = self._operations.orders(requests)
        known: set[int] = set()
        lookups = await drive_async(self._ledger, self._operations.lookups(orders))
        for some in pipelines(lookups, BATCH_JOBS):
            known |= answered(some, await self._ledger.run_many([one.call for one in some]))
        refused: dict[int, ApexError | None] = dict.fromkeys(known)
        places = [place for place in range(len(orders)) if place not in known]
        for _ in range(ROUTE_TRIES):
            batches = await drive_async(self._ledger, self._operations.submissions(orders, places))
            for sent in pipelines(batches):
                replies = await self._ledger.run_many([batch.call for batch in sent])
                refused.update(refusals(sent, replies))
            places = rerouted(refused)
            if not places:
                break
            self._operations.forget_routes()
        return [
            AsyncJob(order.job_id, self._ledger, self._operations, refused[place])
            for place, order in enumerate(orders)
        ]

    async def complete(self, prompt: str | None = None, **options: Any) -> Result:
        """As :meth:`producer.client.LLMClient.complete`."""
        return await (await self.submit(prompt, **options)).result()

    async def chat(self, messages: Iterable[Mapping[str, str]], **options: Any) -> Result:
        """As :meth:`producer.client.LLMClient.chat`."""
        return await self.complete(messages=tuple(messages), **options)

    async def stream(
        self, prompt: str | None = None, **options: Any
    ) -> AsyncGenerator[Event, None]:
        """Enqueues a request and yields its answer as it is made."""
        events = (await self.submit(prompt, **options)).stream()
        async with aclosing(events):
            async for event in events:
                yield event

    def job(self, job_id: str) -> AsyncJob:
        """As :meth:`producer.client.LLMClient.job`."""
        return AsyncJob(job_id, self._ledger, self._operations)

    def episode(
        self, episode_id: str, *, token_budget: int | None = None, timeout_s: float | None = None
    ) -> AsyncEpisode:
        """As :meth:`producer.client.LLMClient.episode`, opened by ``async with``."""
        return AsyncEpisode(self, episode_id, token_budget, timeout_s)

    def session(self, agent_id: str, session_id: str) -> AsyncSession:
        """As :meth:`producer.client.LLMClient.session`; nothing is awaited here."""
        return AsyncSession(agent_id, session_id, self._ledger, self._operations)

    async def set_budget(
        self, scope: str, own_id: str, *, agent_id: str | None = None, **limits: int | None
    ) -> Account:
        """As :meth:`producer.client.LLMClient.set_budget`."""
        level = self._accounting.level(scope, own_id, agent_id)
        return await drive_async(self._ledger, self._accounting.set(level, limits))

    async def reset_budget(
        self, scope: str, own_id: str, *, agent_id: str | None = None
    ) -> Account:
        """As :meth:`producer.client.LLMClient.reset_budget`."""
        level = self._accounting.level(scope, own_id, agent_id)
        return await drive_async(self._ledger, self._accounting.reset(level))

    async def show_budget(self, scope: str, own_id: str, *, agent_id: str | None = None) -> Account:
        """As :meth:`producer.client.LLMClient.show_budget`."""
        level = self._accounting.level(scope, own_id, agent_id)
        return await drive_async(self._ledger, self._accounting.show(level))

    async def usage(self, *, since: date | None = None) -> list[Spent]:
        """As :meth:`producer.client.LLMClient.usage`."""
        steps = self._accounting.usage(self._accounting.tenant, since)
        return await drive_async(self._ledger, steps)

    async def drain(self, instance: str) -> Shift:
        """As :meth:`producer.client.LLMClient.drain`."""
        return await drive_async(self._ledger, draining.drain(instance, self.settings.absent_s))

    async def resume(self, instance: str) -> Shift:
        """As :meth:`producer.client.LLMClient.resume`."""
        return await drive_async(self._ledger, draining.resume(instance, self.settings.absent_s))

    async def get_stats(self) -> dict[str, Any]:
        """As :meth:`producer.client.LLMClient.get_stats`."""
        return await drive_async(self._ledger, self._operations.stats())

    async def close(self) -> None:
        """Gives the connections back."""
        await self._ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncEpisode:
    """As :class:`producer.client.Episode`; ``async with`` opens it."""

    def __init__(
        self,
        client: AsyncLLMClient,
        episode_id: str,
        token_budget: int | None,
        timeout_s: float | None,
    ) -> None:
        self.id = episode_id
        self._client = client
        self._opening = (episode_id, token_budget, timeout_s)
        self._level: Level | None = None

    async def submit(self, prompt: str | None = None, **options: Any) -> AsyncJob:
        """As :meth:`AsyncLLMClient.submit`."""
        return await self._client.submit(prompt, **options, episode_id=self.id)

    async def complete(self, prompt: str | None = None, **options: Any) -> Result:
        """As :meth:`AsyncLLMClient.complete`."""
        return await self._client.complete(prompt, **options, episode_id=self.id)

    async def chat(self, messages: Iterable[Mapping[str, str]], **options: Any) -> Result:
        """As :meth:`AsyncLLMClient.chat`."""
        return await self._client.chat(messages, **options, episode_id=self.id)

    def stream(self, prompt: str | None = None, **options: Any) -> AsyncIterator[Event]:
        """As :meth:`AsyncLLMClient.stream`."""
        return self._client.stream(prompt, **options, episode_id=self.id)

    async def progress(self, kind: str, /, **facts: Any) -> float:
        """As :meth:`producer.client.Episode.progress`."""
        steps = self._client._operations.progress(await self._opened(), kind, facts)
        return await drive_async(self._client._ledger, steps)

    async def get_stats(self) -> dict[str, Any]:
        """As :meth:`producer.client.Episode.get_stats`."""
        steps = self._client._operations.episode_stats(await self._opened())
        return await drive_async(self._client._ledger, steps)

    async def _opened(self) -> Level:
        if self._level is None:
            steps = self._client._operations.open_episode(*self._opening)
            self._level = await drive_async(self._client._ledger, steps)
        return self._level

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


PortableLLMClient = AsyncLLMClient
