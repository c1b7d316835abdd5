"""A client of LM Studio."""

from __future__ import annotations

from typing import Any

from ledger.model_servers import DEFAULTS
from ledger.settings import Settings
from producer.servers_client import ServersClient


class LMStudioClient(ServersClient):
    """``async with LMStudioClient(max_concurrent_requests=2) as client: await client.chat([…])``.

    The rest is :class:`producer.servers_client.ServersClient`.
    """

    backend = "lmstudio"
    instance = "lmstudio"

    def __init__(
        self,
        base_url: str = DEFAULTS["lmstudio"],
        max_concurrent_requests: int = 4,
        *,
        model: str | None = None,
        settings: Settings | None = None,
        **table: Any,
    ) -> None:
        """As :class:`ServersClient`, with one server; any OpenAI-compatible one will do."""
        super().__init__(
            [base_url], slots=max_concurrent_requests, model=model, settings=settings, **table
        )
