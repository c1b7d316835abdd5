"""Which errors of a server may pass, so that another attempt makes sense."""

from __future__ import annotations

from collections.abc import Mapping

from workers.backends.servers.retry_after import BUSY_S, retry_after_s

OVERLOADED = 529  # Anthropic's and OpenRouter's
# A request that came too slowly, that met another one, that came too early, that was cut off.
_PASSING = (408, 409, 425, 499)


def may_pass(status: int) -> bool:
    """Whether a server that answers with this HTTP status may do otherwise in a while."""
    return status >= 500 or status in _PASSING


def asked_again_after_s(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds until a server that failed with this status is asked again: what it says, or some
    where it has too much to do; None where a moment will do.
    """
    return retry_after_s(headers) or (BUSY_S if status in (503, OVERLOADED) else None)
