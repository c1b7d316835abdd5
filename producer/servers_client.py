"""A client of model servers that it names itself, as callers of their APIs are used to.

Its requests go through the queue all the same: to the instance of the settings that has these
servers, or to one that the client starts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Self

from ledger.address import shown
from ledger.errors import ApexError, BackendError, InvalidSetting, JobNotFound
from ledger.messages import Result
from ledger.model_servers import servers_of
from ledger.overview import read_entries
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec, Settings, load_settings
from producer.aio import AsyncLLMClient
from producer.awaited import send_and_wait
from producer.client import LLMClient
from producer.local.awaited import start_stack
from producer.local.guest import GuestStack

PATIENCE_S = 5.0  # with those who wait for what is cancelled when a client is closed
ON_ITS_WAY_S = 0.1  # until a job that Redis does not have yet is looked for again


class ServersClient:
    """It belongs to the event loop that first used it.

    ``async with`` starts a worker for the servers, and a Redis where none is named, unless the
    settings have an instance with them: that one's worker is yours to start.
    """

    backend = "openai"
    instance = "servers"

    def __init__(
        self,
        urls: Sequence[str],
        *,
        slots: int,
        model: str | None = None,
        settings: Settings | None = None,
        **table: Any,
    ) -> None:
        """Reads the settings; nothing is started or asked yet.

        Args:
            urls: the servers' base URLs.
            slots: requests at once.
            model: None: the server's only one.
            settings: None: what the environment and apexq.toml say.
            table: further keys of the instance's table, such as ``api_key``, and a ``name`` where
                there are several such clients in one Redis.

        Raises:
            InvalidSetting: one of them cannot be used.
        """
        self._settings = settings or load_settings()
        self._urls = {url.rstrip("/") for url in urls}
        where = {"endpoints": list(urls)} if len(urls) > 1 else {"base_url": urls[0]}
        self._table = {
            **{"name": self.instance, "backend": self.backend, "model": model, "slots": slots},
            **where,
            **table,
        }
        self._name = str(self._table["name"])
        self._spec = self._of_the_settings()
        self._stack: GuestStack | None = None
        self._client: AsyncLLMClient | None = None
        self._changing = asyncio.Lock()  # starts and ends go one after another
        self._under_way: dict[asyncio.Future[None], str] = {}  # who is waited for, of which job

    async def complete(self, prompt: str | None = None, **options: Any) -> Result:
        """Answers a prompt, or ``messages``. If the awaiting task is cancelled, so is the job.

        Args:
            prompt: the text.
            options: further ones of :class:`ledger.messages.Request`.

        Raises:
            InvalidSetting: it is not started, and the settings have no instance with its servers.
            What :meth:`producer.client.LLMClient.complete` raises.
        """
        client, name = self._ready()
        order = client.order(prompt, **{"agent_id": name, "instance": name} | options)
        with self._noted(order.job_id):
            return await send_and_wait(client, order)

    async def chat(self, messages: Iterable[Mapping[str, Any]], **options: Any) -> Result:
        """Answers a conversation of ``{"role": …, "content": …}``; else as :meth:`complete`."""
        return await self.complete(messages=tuple(messages), **options)

    async def chat_completion_stream(
        self, messages: Iterable[Mapping[str, Any]], **options: Any
    ) -> AsyncGenerator[str, None]:
        """Yields the answer's text as it is made. Who stops reading stops the job.

        A server that fails in the midst of it is followed by another one, unseen.

        Raises:
            BackendError: the answer had to begin anew after a part of it was read.
            What :meth:`complete` raises.
        """
        client, name = self._ready()
        asked = {"agent_id": name, "instance": name, "messages": tuple(messages)}
        order = client.order(**asked | options)
        complete, read = False, False
        with self._noted(order.job_id):
            job = await client.send(order)
            try:
                async with aclosing(job.stream()) as events:
                    async for event in events:
                        if event.kind == "reset" and read:
                            raise self._begins_anew()
                        if event.text:
                            read = True
                            yield event.text
                complete = True
            finally:
                if not complete:
                    await job.cancel()

    def get_usage_stats(self) -> dict[str, Any]:
        """Tokens, budget, and how busy the instance is.

        Returns:
            ``tokens_used``, ``tokens_held``, ``budget`` (None: no limit) of the tenant;
            ``waiting`` and ``running`` jobs, ``max_concurrent_requests``, ``state``.
        """
        _, name = self._ready()
        settings = self._used_settings
        with LLMClient(settings) as client:
            tokens = client.get_stats()
        ledger = Ledger(settings.redis_url)
        try:
            [facts] = ledger.run(read_entries([name]))
        finally:
            ledger.close()
        return {
            **tokens,
            "waiting": facts.waiting,
            "running": facts.running,
            "max_concurrent_requests": settings.instance(name).slots,
            "state": facts.state,
        }

    async def start(self) -> Self:
        """Starts what is needed; does nothing where the settings have an instance of these servers.

        Raises:
            InvalidSetting: the settings have one of its name, with other servers.
            StackFailed, RedisUnavailable: it did not come up.
        """
        async with self._changing:
            if self._spec is None and self._stack is None:
                self._refuse_anothers_name()
                stack = GuestStack([self._table], None, env=self._settings.to_env())
                await start_stack(stack)
                self._stack = stack
        return self

    async def close(self) -> None:
        """Gives the connections back, and stops what :meth:`start` started; what is under way there
        is cancelled.
        """
        async with self._changing:
            client, stack, self._client, self._stack = self._client, self._stack, None, None
            try:
                if client is not None:
                    if stack is not None:  # nobody else may run them
                        await self._end_all(client)
                    await client.close()
            finally:
                if stack is not None:
                    await asyncio.to_thread(stack.stop)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @contextmanager
    def _noted(self, job_id: str) -> Iterator[None]:
        """For as long as somebody waits for the job."""
        waiter = asyncio.get_running_loop().create_future()
        self._under_way[waiter] = job_id
        try:
            yield
        finally:
            del self._under_way[waiter]
            if not waiter.done():
                waiter.set_result(None)

    async def _end_all(self, client: AsyncLLMClient) -> None:
        """A job that is only on its way to Redis is cancelled once it is there."""
        until, waiters = time.monotonic() + PATIENCE_S, dict(self._under_way)
        while waiters and (left_s := until - time.monotonic()) > 0:
            there = await asyncio.gather(*(_cancelled(client, one) for one in waiters.values()))
            await asyncio.wait(waiters, timeout=left_s if all(there) else ON_ITS_WAY_S)
            waiters = {one: job_id for one, job_id in waiters.items() if not one.done()}

    def _begins_anew(self) -> BackendError:
        return BackendError(
            "The answer begins anew after a part of it was read; ask again, "
            "or read AsyncLLMClient.stream(), which tells of it.",
            backend=self.backend,
            retriable=True,
        )

    def _of_the_settings(self) -> InstanceSpec | None:
        """The instance that has just these servers."""
        for spec in self._settings.instances:
            own = set(servers_of(spec, self._settings))
            if spec.backend == self.backend and own == self._urls:
                return spec
        return None

    def _refuse_anothers_name(self) -> None:
        """Its agents' jobs would be answered by these servers; in a Redis of our own are none."""
        taken = {spec.name for spec in self._settings.instances}
        if "redis_url" in self._settings.model_fields_set and self._name in taken:
            raise InvalidSetting(
                f"The settings have an instance {self._name!r} with other servers: give this "
                f'client\'s another name, {type(self).__name__}(…, name="…").'
            )

    @property
    def _used_settings(self) -> Settings:
        return self._stack.settings if self._stack is not None else self._settings

    def _ready(self) -> tuple[AsyncLLMClient, str]:
        """The client, and the instance that has the servers."""
        if self._spec is None and self._stack is None:
            raise InvalidSetting(
                f"No instance has {' and '.join(sorted(map(shown, self._urls)))}: use "
                f"`async with {type(self).__name__}(…) as client`, which starts one, or put it "
                f'into apexq.toml as an instance with backend = "{self.backend}".'
            )
        if self._client is None:
            self._client = AsyncLLMClient(self._used_settings)
        return self._client, self._spec.name if self._spec else self._name


async def _cancelled(client: AsyncLLMClient, job_id: str) -> bool:
    """False if Redis does not have the job yet."""
    try:
        await client.job(job_id).cancel()
    except JobNotFound:
        return False
    except ApexError:  # who waits for the job hears of it too
        pass
    return True
