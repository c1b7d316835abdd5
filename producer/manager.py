"""Several instances of one model, on top of a local stack."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from ledger.errors import ApexError, InvalidRequest, InvalidSetting
from ledger.messages import Result
from ledger.overview import read_entries
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer.aio import AsyncLLMClient
from producer.awaited import send_and_wait
from producer.local import LocalStack
from producer.local.awaited import start_stack

WARM_UP = "test"


class MultiInstanceLLMManager:
    """N instances of one model on this machine, each in processes of its own.

    ``async with MultiInstanceLLMManager(5, backend="llama_cpp", model="/models/x.gguf") as
    manager: result = await manager.generate(0, "ep1:planner", "…", 256)``. What it starts ends with
    it. Event loops of several threads may share one that is started.
    """

    def __init__(
        self,
        num_instances: int | None = None,
        *,
        backend: str | None = None,
        model: str | None = None,
        backend_factory: object = None,
        **stack: Any,
    ) -> None:
        """Reads the settings; nothing is started yet.

        Args:
            num_instances: how many; None: what the environment and apexq.toml say. So with the
                next two.
            backend: of all of them, by name.
            model: of all of them.
            backend_factory: refused. The worker builds its backend from the settings.
            stack: further arguments of :class:`producer.local.LocalStack`.

        Raises:
            InvalidSetting: one of them is unknown or cannot be used.
        """
        if backend_factory is not None:
            raise InvalidSetting(
                "backend_factory cannot travel to another process; name the backend instead: "
                'backend="llama_cpp", model="/models/x.gguf" (APEX_LLM_BACKEND, APEX_LLM_MODEL_ID '
                "or APEX_GGUF_MODEL_PATH)."
            )
        self._stack = LocalStack(num_instances, backend, model, **stack)
        self._settings: Settings | None = None
        self._names: tuple[str, ...] = ()

    async def start(self) -> Self:
        """Starts every instance, and has each of them answer the prompt ``test``.

        Raises:
            StackFailed, RedisUnavailable: it did not come up; nothing of it is left.
            ApexError: an instance did not answer.
        """
        await start_stack(self._stack)
        settings = self._stack.settings
        names = tuple(spec.name for spec in settings.instances)
        try:
            async with AsyncLLMClient(settings) as client:
                await asyncio.gather(*(_warm_up(client, name) for name in names))
        except BaseException:
            await self.stop()
            raise
        self._settings, self._names = settings, names
        return self

    def ready(self) -> bool:
        """Whether all instances are up, warm and heard."""
        if self._settings is None:
            return False
        ledger = Ledger(self._settings.redis_url)
        try:
            found = ledger.run(read_entries(self._names))
        except ApexError:
            return False
        finally:
            ledger.close()
        lease_s = self._settings.lease_s
        return all(
            one.state == "ready" and one.heard_s is not None and one.heard_s < lease_s
            for one in found
        )

    async def generate(
        self,
        instance_id: int,
        session_id: str,
        prompt: str,
        max_new_tokens: int | None = None,
        **options: Any,
    ) -> Result:
        """Has exactly this instance answer.

        If the awaiting task is cancelled, so is the job.

        Args:
            instance_id: from 0.
            session_id: sessions of one name on two instances are two sessions.
            prompt: the text.
            max_new_tokens: completion tokens, at most; None: what the settings say.
            options: further ones of :class:`ledger.messages.Request`.

        Returns:
            The record: ``.text``, ``.usage``, ``.finish_reason``, ``.instance``.

        Raises:
            InvalidRequest: there is no such instance, an option is wrong, or it is not started.
            What :meth:`producer.client.LLMClient.complete` raises.
        """
        name = self._name_of(instance_id)
        if max_new_tokens is not None:
            options["max_tokens"] = max_new_tokens
        # A client belongs to one event loop; a new one costs 2 ms.
        async with AsyncLLMClient(self._settings) as client:
            order = client.order(
                prompt, **{"agent_id": name} | options, instance=name, session_id=session_id
            )
            return await send_and_wait(client, order)

    async def stop(self) -> None:
        """Stops what :meth:`start` started. Does nothing if it is not started."""
        self._settings, self._names = None, ()
        await asyncio.to_thread(self._stack.stop)

    def _name_of(self, instance_id: int) -> str:
        if self._settings is None:
            raise InvalidRequest("The manager is not started; await its start() first.")
        whole = isinstance(instance_id, int) and not isinstance(instance_id, bool)
        if not (whole and 0 <= instance_id < len(self._names)):
            raise InvalidRequest(
                f"instance_id: there is no instance {instance_id!r}; "
                f"it takes a number from 0 to {len(self._names) - 1}."
            )
        return self._names[instance_id]

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


async def _warm_up(client: AsyncLLMClient, name: str) -> None:
    # Not from the cache, and not by the run of another instance's equal request.
    await client.complete(WARM_UP, agent_id=name, instance=name, max_tokens=1, cache=False)
