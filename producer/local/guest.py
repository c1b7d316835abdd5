"""A stack that shares a Redis with instances of others, and leaves none of its own behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, Self

from ledger import rehoming
from ledger.errors import ApexError
from ledger.redis_client import Ledger
from ledger.steps import Steps, drive
from producer import draining
from producer.local.stack import LocalStack


class GuestStack(LocalStack):
    """As :class:`LocalStack`; when it ends, what waits for its instances goes to others, and they
    are forgotten, so that nobody waits for them.
    """

    def start(self) -> Self:
        """As :meth:`LocalStack.start`; its instances take jobs, whatever was left of them."""
        super().start()
        try:
            self._each(lambda name: draining.resume(name, self._given.absent_s))
        except BaseException:  # Ctrl-C, or Redis does not answer
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """As :meth:`LocalStack.stop`."""
        up = self._may_stop and self._settings is not None
        try:
            if up:
                with suppress(ApexError):
                    self._each(lambda name: draining.drain(name, self._given.absent_s))
        finally:
            super().stop()
        if up:
            with suppress(ApexError):
                self._each(_retired)

    def _each(self, steps_of: Callable[[str], Steps[Any]]) -> None:
        """Does something with each of its instances; nothing in a Redis that ends with the stack.

        Raises:
            RedisUnavailable
        """
        if self._plan.redis_url is None:
            return
        with closing(Ledger(self._plan.redis_url)) as ledger:
            for name in self._plan.instances:
                drive(ledger, steps_of(name))


def _retired(name: str) -> Steps[bool]:
    done: bool = yield rehoming.retire(name)
    return done
