"""A stack that shares a Redis with instances of others, and leaves none of its own behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, Self

from ledger import rehoming
from ledger.errors import ApexError
from ledger.overview import InstanceFacts, read_entries
from ledger.redis_client import Ledger
from ledger.steps import Steps, drive
from producer import draining
from producer.local.stack import LocalStack

ENDED = ("", "stopped", "failed")  # states of an instance without a worker


class GuestStack(LocalStack):
    """As :class:`LocalStack`; when it ends, what waits for its instances goes to others, and they
    are forgotten, so that nobody waits for them. Those that a worker of somebody else serves by
    then are left to that.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """As :class:`LocalStack`."""
        super().__init__(*args, **options)
        self._own: set[tuple[str, int]] = set()  # its workers' nodes and process ids

    def start(self) -> Self:
        """As :meth:`LocalStack.start`; its instances take jobs, whatever was left of them."""
        super().start()
        self._own.clear()
        try:
            self._each(self._taken_up)
        except BaseException:  # Ctrl-C, or Redis does not answer
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """As :meth:`LocalStack.stop`."""
        up = self._may_stop and self._settings is not None
        super().stop()
        if up:
            with suppress(ApexError):
                self._each(self._forgotten)

    def _each(self, steps_of: Callable[[str], Steps[None]]) -> None:
        """Does something with each of its instances; nothing in a Redis that ends with the stack.

        Raises:
            RedisUnavailable
        """
        if self._plan.redis_url is None:
            return
        with closing(Ledger(self._plan.redis_url)) as ledger:
            for name in self._plan.instances:
                drive(ledger, steps_of(name))

    def _taken_up(self, name: str) -> Steps[None]:
        entries: list[InstanceFacts] = yield read_entries([name])
        self._own.add((entries[0].node, entries[0].pid))
        yield from draining.resume(name, self._given.absent_s)

    def _forgotten(self, name: str) -> Steps[None]:
        entries: list[InstanceFacts] = yield read_entries([name])
        now = entries[0]
        # One of its workers that was killed has not said that it ended.
        if now.state in ENDED or (now.node, now.pid) in self._own:
            yield from draining.drain(name, self._given.absent_s)
            yield rehoming.retire(name)
