"""A batch manager that has nothing to wait for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from ledger.messages import Result
from ledger.settings import Settings
from producer.aio import AsyncLLMClient
from producer.awaited import send_and_wait


class LLMBatchManager:
    """Sends each request at once: a server such as vLLM batches by itself, at every step.

    To collect requests first would delay them and gain nothing. How many run at once is what the
    instance has as ``slots``.
    """

    def __init__(
        self,
        batch_size: int = 4,
        batch_timeout: float = 0.1,
        *,
        settings: Settings | None = None,
        agent_id: str = "batch",
    ) -> None:
        """
        Args:
            batch_size: kept for callers who give it; without effect.
            batch_timeout: the same, seconds.
            settings: None: what the environment and apexq.toml say.
            agent_id: of requests that name none; it says which instance answers.
        """
        self.batch_size, self.batch_timeout = batch_size, batch_timeout
        self._client = AsyncLLMClient(settings)
        self._agent_id = agent_id

    async def batch_request(self, messages: Iterable[Mapping[str, Any]], **options: Any) -> Result:
        """Answers one conversation. If the awaiting task is cancelled, so is the job.

        Args:
            messages: ``{"role": …, "content": …}``.
            options: further ones of :class:`ledger.messages.Request`.

        Raises:
            What :meth:`producer.client.LLMClient.complete` raises.
        """
        asked = {"agent_id": self._agent_id, **options, "messages": tuple(messages)}
        return await send_and_wait(self._client, self._client.order(**asked))

    async def close(self) -> None:
        """Gives the connections back."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
