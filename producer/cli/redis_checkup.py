"""What ``apexq doctor`` looks at in Redis: whether it is fit to be a queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from redis import RedisError

from ledger.permissions import needed, refused
from ledger.redis_client import Ledger
from producer.cli.check import Check

OLDEST_REDIS = 7
PROBES, SLOW_MS = 11, 5.0  # a job takes some round trips, each chunk of its answer one
SMALL_MB = 64
FULL, NEARLY_FULL = 0.95, 0.75
SHORT_TIMEOUT_S = 60  # clients look after their idle connections every 25 s
SHOWN = 3


def redis_checks(ledger: Ledger, instances: Sequence[str]) -> Iterator[Check]:
    """All of them, of a server that answers; ``instances``: names that the settings have.

    Raises:
        RedisUnavailable
    """
    with ledger.translated():
        info: Any = ledger.redis.info()
    version = check_version(info)
    yield version
    if version.status == "fail":
        return
    database = int(ledger.redis.connection_pool.connection_kwargs.get("db") or 0)
    not_allowed = ledger.run(refused(needed(instances, database=database)))
    yield check_permissions(not_allowed)
    yield check_role(info)
    yield check_eviction(info)
    yield check_room(info)
    yield check_persistence(info, _setting(ledger, "save"))
    yield check_connections(info, _setting(ledger, "timeout"))
    yield check_latency([_round_trip_ms(ledger) for _ in range(PROBES)])


def check_permissions(not_allowed: Sequence[str]) -> Check:
    """Whether the user of REDIS_URL may do what apexq does."""
    if not not_allowed:
        return Check("permissions", "ok", "the user of REDIS_URL may do all that is needed")
    found = "the user of REDIS_URL may not " + "; ".join(not_allowed[:SHOWN])
    if len(not_allowed) > SHOWN:
        found += f"; and {len(not_allowed) - SHOWN} more"
    return Check("permissions", "fail", found, "grant what docs/redis.md lists")


def check_version(info: Mapping[str, Any]) -> Check:
    """Whether the server knows what the scripts use."""
    version = str(info.get("redis_version", "0"))
    name, own = info.get("server_name", "redis"), info.get("valkey_version")
    found = f"{name} {own}, compatible with Redis {version}" if own else f"Redis {version}"
    if int(version.partition(".")[0] or 0) >= OLDEST_REDIS:
        return Check("version", "ok", found)
    return Check("version", "fail", found, f"use Redis {OLDEST_REDIS} or newer, or any Valkey")


def check_role(info: Mapping[str, Any]) -> Check:
    """Whether it is a single server that takes writes."""
    mode = info.get("redis_mode") or info.get("server_mode") or "standalone"
    if mode != "standalone":
        todo = "set REDIS_URL to a single server; apexq uses no cluster"
        return Check("role", "fail", f"it runs as {mode}", todo)
    if info.get("role", "master") != "master":
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        return Check("role", "fail", f"a replica of {primary}", f"set REDIS_URL to {primary}")
    return Check("role", "ok", "a single server, or a primary")


def check_eviction(info: Mapping[str, Any]) -> Check:
    """Whether the server may drop keys when memory is short: the ledger must stay whole."""
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Check("eviction", "ok", "maxmemory-policy noeviction")
    todo = "set maxmemory-policy noeviction, or jobs and budgets vanish when memory is short"
    return Check("eviction", "fail", f"maxmemory-policy {policy}", todo)


def check_room(info: Mapping[str, Any]) -> Check:
    """Whether its memory has room for jobs."""
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    mb = 1024 * 1024
    if not most:
        return Check("room", "ok", f"{used / mb:,.0f} MB used, no maxmemory")
    found = f"{used / mb:,.0f} of {most / mb:,.0f} MB used"
    todo = "raise maxmemory, or lower APEX_RETENTION_S"
    if used >= FULL * most:
        return Check("room", "fail", found, todo)
    if used >= NEARLY_FULL * most or most < SMALL_MB * mb:
        return Check("room", "warn", found, todo)
    return Check("room", "ok", found)


def check_persistence(info: Mapping[str, Any], snapshots: str | None) -> Check:
    """Whether jobs outlive the server; ``snapshots`` is its setting ``save``, None: not known."""
    statuses = [info.get(name) for name in ("rdb_last_bgsave_status", "aof_last_write_status")]
    if "err" in statuses:
        todo = "free space on its disk or make it writable, and see its log"
        return Check("persistence", "fail", "the last write to disk failed", todo)
    if int(info.get("aof_enabled", 0)):
        return Check("persistence", "ok", "append-only file")
    todo = "set appendonly yes, or waiting jobs and budgets are lost when Redis ends"
    if snapshots is None:
        return Check("persistence", "warn", "no append-only file", todo)
    if snapshots:
        return Check("persistence", "warn", f"snapshots only (save {snapshots})", todo)
    return Check("persistence", "warn", "off", todo)


def check_connections(info: Mapping[str, Any], timeout: str | None) -> Check:
    """Whether there is room for more of them, and whether idle ones are cut."""
    there, most = int(info.get("connected_clients", 0)), int(info.get("maxclients", 0))
    found = f"{there:,} of {most:,}" if most else f"{there:,}"
    if most and there >= NEARLY_FULL * most:
        return Check("connections", "warn", found, "raise maxclients")
    if timeout and 0 < int(timeout) < SHORT_TIMEOUT_S:
        todo = "set timeout 0, or connections are cut while they wait for work"
        return Check("connections", "warn", f"{found}; cut after {timeout} s without use", todo)
    return Check("connections", "ok", found)


def check_latency(round_trips_ms: Sequence[float]) -> Check:
    """Whether it is near enough."""
    typical_ms = median(round_trips_ms)
    found = f"{typical_ms:.1f} ms for a round trip"
    if typical_ms <= SLOW_MS:
        return Check("latency", "ok", found)
    todo = "run Redis near the workers, or look at SLOWLOG: each chunk of an answer takes that long"
    return Check("latency", "warn", found, todo)


def _round_trip_ms(ledger: Ledger) -> float:
    with ledger.translated():
        began = time.monotonic()
        ledger.redis.ping()
        return (time.monotonic() - began) * 1000


def _setting(ledger: Ledger, name: str) -> str | None:
    """A setting of the server; None where it does not let us ask."""
    try:
        answer: Any = ledger.redis.config_get(name)
    except RedisError:  # a hosted Redis may have no such command
        return None
    return str(answer[name]) if name in answer else None
