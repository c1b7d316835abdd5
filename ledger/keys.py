"""Every Redis key, channel and queue name, in one place.

A job's stream and the pub/sub channel that announces it have the same name:
keys and channels are different name spaces in Redis.
"""

from __future__ import annotations

from functools import lru_cache

PREFIX = "apexq:"

PRIORITY_SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and a priority above 0

INSTANCES = f"{PREFIX}instances"  # hash: name -> descriptor (JSON)
SEEN = f"{PREFIX}seen"  # zset: name -> last heartbeat, ms
ROUTES = f"{PREFIX}routes"  # string: how often agents were given another home
TENANTS = f"{PREFIX}tenants"  # zset: tenant -> the last day that it spent something
USAGE = f"{PREFIX}usage:"  # prefix of the hashes of usage; the scripts add day and tenant
EPISODES = f"{PREFIX}episodes"  # zset: open episode's budget level -> its latest end, ms
HEARTBEAT = f"{PREFIX}heartbeat"  # string: who logs how episodes stand; expires
RECONCILER = f"{PREFIX}reconciler"  # hash: the worker that repairs, when it last did and since when
DELAYED = f"{PREFIX}delayed"  # zset: jobs that wait for their next attempt; score = its time, ms
EXPIRING = f"{PREFIX}expiring"  # zset: jobs that may not wait for ever; score = until when, ms
DEAD = f"{PREFIX}dead"  # zset: jobs that were given up; score = when, ms
CACHED = f"{PREFIX}cached"  # zset: answers in the cache, by their keys -> until when, ms
CACHED_BYTES = f"{PREFIX}cached-bytes"  # hash: the same -> bytes; ``total``
ASIDE = f"{PREFIX}aside"  # list: envelopes that no worker can read


def job(job_id: str) -> str:
    """Hash: the job's state; short values only, so that it stays a listpack."""
    return f"{PREFIX}job:{job_id}"


def request(job_id: str) -> str:
    """String: the request as JSON."""
    return f"{PREFIX}request:{job_id}"


def stream(job_id: str) -> str:
    """Stream of the job's events, and the channel that announces each of them."""
    return f"{PREFIX}stream:{job_id}"


def result(job_id: str) -> str:
    """String: the terminal record as JSON."""
    return f"{PREFIX}result:{job_id}"


def celery_meta(job_id: str) -> str:
    """Channel on which Celery's AsyncResult waits for the end of a task."""
    return f"celery-task-meta-{job_id}"


def entry(instance: str) -> str:
    """Hash: who serves the instance, its slots, its wake-up template."""
    return f"{PREFIX}instance:{instance}"


def waiting(instance: str) -> str:
    """Zset: waiting jobs; score = priority band and fair share."""
    return f"{PREFIX}waiting:{instance}"


def woken(instance: str) -> str:
    """Zset: jobs whose wake-up is in Celery's lists, or is held back; score = since when, ms."""
    return f"{PREFIX}woken:{instance}"


def running(instance: str) -> str:
    """Zset: running jobs; score = when the lease ends, ms."""
    return f"{PREFIX}running:{instance}"


def leaving(instance: str) -> str:
    """Set: running jobs that were told to make way for better ones."""
    return f"{PREFIX}leaving:{instance}"


def held_back(instance: str) -> str:
    """Zset: turns that wait until another one of their session has ended; score = band and time.

    They are woken ones too, and counted as such: one that was cancelled may stand here for long.
    """
    return f"{PREFIX}held-back:{instance}"


def parked(instance: str) -> str:
    """Zset: jobs that wait for the answer to an equal one; score = when they look for it, ms.

    A wake-up that was one too many may have begun one before its time.
    """
    return f"{PREFIX}parked:{instance}"


def fair(instance: str) -> str:
    """Hash: virtual time of each band and of each tenant in it, tokens."""
    return f"{PREFIX}fair:{instance}"


def queue(instance: str) -> str:
    """Celery's list of an instance at priority 0; the others append separator and number."""
    return instance


def session(*ids: str) -> str:
    """Hash: the turns of a session of tenant and agent, by number; ``first``, ``next``, ``bytes``,
    ``system``.
    """
    return ":".join([f"{PREFIX}session", *(quote(part) for part in ids)])


def cache(tenant: str, digest: str) -> str:
    """Hash: an answer that is kept: ``record``, ``event``; whose it was: ``agent``, ``session``."""
    return f"{PREFIX}cache:{quote(tenant)}:{digest}"


def cache_run(tenant: str, digest: str) -> str:
    """String: the job whose answer equal ones wait for, as ``id instance``; empty: for none."""
    return f"{PREFIX}cache-run:{quote(tenant)}:{digest}"


def cache_parked(tenant: str, digest: str) -> str:
    """Set: jobs that wait for it, as ``instance id``."""
    return f"{PREFIX}cache-parked:{quote(tenant)}:{digest}"


def note(note_id: str) -> str:
    """String: whose sessions a process is to forget, as JSON."""
    return f"{PREFIX}note:{note_id}"


@lru_cache(4096)
def budget(scope: str, *ids: str) -> str:
    """Hash of one budget level: ``limit``, ``used``, ``held`` (tokens)."""
    return ":".join([f"{PREFIX}budget", scope, *(quote(part) for part in ids)])


def budgets_set(tenant: str) -> str:
    """Set: the tenant's budget levels for which a limit was set, as ``scope:id``."""
    return f"{PREFIX}budgets-set:{tenant}"


def usage(day: int, tenant: str) -> str:
    """Hash: what a tenant spent on a day (counted since the epoch), by agent and model."""
    return f"{USAGE}{day}:{tenant}"


def budget_ids(key: str) -> list[str]:
    """The ids in the key of a budget level."""
    return [unquote(part) for part in key.removeprefix(PREFIX).split(":")[2:]]


def quote(part: str) -> str:
    """A caller's id with ``%`` and ``:`` escaped, so that two ids never make one key."""
    return part.replace("%", "%25").replace(":", "%3A")


def unquote(part: str) -> str:
    """The reverse of :func:`quote`."""
    return part.replace("%3A", ":").replace("%25", "%")
