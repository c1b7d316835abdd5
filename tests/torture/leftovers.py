"""What is left behind at rest: places in queues, keys without an end, processes, connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger import keys
from tests.torture.fleet import Fleet

# What stays by design, as docs/retention.md says: a few keys for each instance and tenant.
STAYS = (
    keys.INSTANCES, keys.SEEN, keys.TENANTS, keys.RECONCILER, keys.DEAD, keys.ASIDE,
    keys.entry(""), keys.budget("tenant"), keys.budget("agent"), keys.budget("role"),
    keys.PREFIX + "budgets-set:", "_kombu.", keys.ROUTES,
)  # fmt: skip
PLACES = (
    keys.waiting, keys.woken, keys.running, keys.leaving, keys.held_back, keys.queue,
)  # fmt: skip


def queues(client: Any, names: list[str], lists: list[str]) -> Iterator[str]:
    """No job has a place in a queue any more, and Celery's lists are empty."""
    for key in [place(name) for name in names for place in PLACES] + [keys.DELAYED, keys.EXPIRING]:
        kind = client.type(key)
        if kind == "zset":
            yield f"{key} still has {client.zrange(key, 0, 4)}"
        elif kind == "set":
            yield f"{key} still has {sorted(client.smembers(key))[:5]}"
    for key in lists:
        if length := client.llen(key):
            yield f"{key!r} still has {length} messages, such as {client.lindex(key, 0)[:200]}"


def lasting(client: Any) -> Iterator[str]:
    """After the retention only what stays by design is there: all else has an end."""
    for key in client.scan_iter(count=1000):
        if not key.startswith(STAYS) and client.ttl(key) == -1:
            yield f"the key {key} stays for ever ({client.type(key)})"


def processes(fleet: Fleet) -> Iterator[str]:
    """Every worker and every child of one has ended."""
    for process in fleet.left():
        yield f"process {process.pid} is left: {' '.join(process.cmdline())[:100]}"


def connections(client: Any) -> Iterator[str]:
    """Nobody is connected any more but who asks."""
    own = client.client_id()
    for one in client.client_list():
        if int(one["id"]) != own:
            yield f"connection {one['id']} from {one['addr']} is left; its last: {one['cmd']}"
