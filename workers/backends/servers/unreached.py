"""Whether a server was reached at all, before a connection failed, and what is said of that."""

from __future__ import annotations

import socket

# What an error says of a server that was not reached, and of one that was.
AWAY = (
    "No connection to {where} can be made ({why}); see whether the server runs there, "
    "and whether the address is right."
)
LOST = "The connection to {where} was lost ({why})."

# By name: each of the HTTP libraries has its own.
_KINDS = ("ConnectError", "ConnectTimeout")


def unreached(error: BaseException | None) -> bool:
    """True if ``error``, or what caused it, says that no connection could be made."""
    while error is not None:
        refused = isinstance(error, ConnectionRefusedError | socket.gaierror)
        if refused or type(error).__name__ in _KINDS:
            return True
        error = error.__cause__ or error.__context__
    return False
