"""HTTP clients that keep to themselves whom they ask."""

from __future__ import annotations

import logging


def quiet_http() -> None:
    """Has them log no requests: a URL may have a password or a key in it."""
    for client in ("httpx", "httpx2"):
        logging.getLogger(client).setLevel(logging.WARNING)
