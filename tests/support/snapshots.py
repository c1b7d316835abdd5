"""What a server holds, to be compared with what it holds later."""

from __future__ import annotations

import redis

from ledger import keys

CELERYS_OWN = (b"_kombu.", b"unacked")
WORKERS_OWN = (*CELERYS_OWN, keys.RECONCILER.encode(), keys.HEARTBEAT.encode())


def key_names(url: str) -> set[bytes]:
    """Every key but what a worker's own connections and its threads leave."""
    with redis.Redis.from_url(url) as client:
        return {name for name in client.scan_iter() if not name.startswith(WORKERS_OWN)}


def everything(url: str) -> dict[bytes, bytes]:
    """Every key and its value; for servers that no worker beats on."""
    with redis.Redis.from_url(url) as client:
        return {name: client.dump(name) for name in client.scan_iter()}
