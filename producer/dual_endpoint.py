"""A client of two servers of vLLM."""

from __future__ import annotations

from typing import Any

from ledger.settings import Settings
from producer.servers_client import ServersClient


class DualEndpointLLMClient(ServersClient):
    """Two servers of one model: the less busy one answers, and the other one where that fails.

    ``async with DualEndpointLLMClient() as client: async for text in
    client.chat_completion_stream(messages): …``. The rest is
    :class:`producer.servers_client.ServersClient`.
    """

    backend = "vllm"
    instance = "vllm"

    def __init__(
        self,
        primary: str = "http://localhost:8001/v1",
        secondary: str = "http://localhost:8002/v1",
        *,
        max_concurrent_requests: int = 16,
        model: str | None = None,
        settings: Settings | None = None,
        **table: Any,
    ) -> None:
        """As :class:`ServersClient`, with two servers."""
        super().__init__(
            [primary, secondary],
            slots=max_concurrent_requests,
            model=model,
            settings=settings,
            **table,
        )
