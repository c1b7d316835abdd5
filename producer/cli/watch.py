"""Says how the instances of a stack come up, while another thread waits for all of them."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from ledger.errors import RedisUnavailable
from ledger.overview import InstanceFacts, read_entries
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer.cli.output import counted, say

LOOK_S = 0.2


class Watch:
    """A line for each instance that becomes ready, and for what takes it long, for the length of a
    block.
    """

    def __init__(self, url: str, settings: Settings, *, quiet: bool) -> None:
        """``url`` need not answer yet. A ``quiet`` watch does nothing."""
        self._specs = {spec.name: spec for spec in settings.instances}
        self._url, self._quiet = url, quiet
        self._shown: set[str] = set()
        self._doing: dict[str, str] = {}  # what those say that are not ready yet
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def finish(self) -> None:
        """All are ready: says so of those that it has not seen."""
        self._end()
        if not self._quiet:
            for name in self._specs:
                self._show(name)

    def _look(self) -> None:
        ledger = Ledger(self._url)
        while not self._stop.wait(LOOK_S):
            try:
                facts = ledger.run(read_entries(list(self._specs)))
            except RedisUnavailable:  # it is being started
                continue
            for one in filter(self._is_new, facts):
                if one.state == "ready":
                    self._show(one.name)
                elif one.state == "starting" and one.why != self._doing.get(one.name, ""):
                    self._doing[one.name] = one.why
                    say(f"{one.name}: {one.why}")
        ledger.close()

    def _is_new(self, one: InstanceFacts) -> bool:
        """False for what a former worker left in a Redis with a memory."""
        return one.heard_s is not None and one.heard_s < time.monotonic() - self._began

    def _show(self, name: str) -> None:
        if name not in self._shown:
            self._shown.add(name)
            spec = self._specs[name]
            say(f"{name} is ready ({spec.model or spec.backend})")

    def _end(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        if not self._quiet:
            say(f"Starting {counted(len(self._specs), 'instance')} …")
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
