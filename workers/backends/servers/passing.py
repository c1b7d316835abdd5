"""Which errors of a server may pass, so that another attempt makes sense."""

from __future__ import annotations

# A request that came too slowly, that met another one, that came too early, that was cut off.
_PASSING = (408, 409, 425, 499)


def may_pass(status: int) -> bool:
    """Whether a server that answers with this HTTP status may do otherwise in a while."""
    return status >= 500 or status in _PASSING
