"""A stack without processes, which comes up when it is let."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.settings import load_settings


class SlowStack:
    """Stands in for :class:`producer.local.LocalStack`, and counts starts and stops."""

    def __init__(
        self,
        instances: int | Sequence[Mapping[str, Any]] | None,
        backend: str | None = None,
        model: str | None = None,
        *,
        env: Mapping[str, str],
    ) -> None:
        self.settings = load_settings(env=env, instances=instances, backend=backend, model=model)
        self.starts, self.stops = 0, 0
        self.starting, self.let = threading.Event(), threading.Event()

    def start(self) -> None:
        """Comes up, as soon as ``let`` is set."""
        self.starts += 1
        self.starting.set()
        assert self.let.wait(10)

    def stop(self) -> None:
        """Is gone."""
        self.stops += 1

    async def has_begun(self) -> None:
        """Waits until it is being started."""
        assert await asyncio.to_thread(self.starting.wait, 10)
