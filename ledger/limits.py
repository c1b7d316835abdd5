"""A job's time limits besides its run time, as its entry in the ledger keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.messages import Request


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; None: no limit."""

    queue_s: float | None = None
    first_token_s: float | None = None
    token_s: float | None = None

    @classmethod
    def of(cls, request: Request) -> Limits:
        """Those that a request asks for."""
        return cls(request.queue_timeout_s, request.first_token_timeout_s, request.token_timeout_s)

    def packed(self) -> str:
        """As one short field, ``queue,first,token`` in ms; empty if there is no limit."""
        limits = (self.queue_s, self.first_token_s, self.token_s)
        if not any(limits):
            return ""
        return ",".join("" if one is None else str(max(1, int(one * 1000))) for one in limits)

    @classmethod
    def unpack(cls, packed: str) -> Limits:
        """The reverse of :meth:`packed`.

        Raises:
            ValueError: it is something else.
        """
        if not packed:
            return cls()
        queue, first, token = (int(one) / 1000 if one else None for one in packed.split(","))
        return cls(queue, first, token)
