"""What redis-py raises, as our errors: why Redis does not serve us, and what to do about it."""

from __future__ import annotations

import re

from redis.exceptions import ResponseError

from ledger.address import shown
from ledger.errors import CorruptEntry, RedisUnavailable

# What Redis' error begins with -> what to say after "Redis at <url> ".
WHY = {
    "OOM": (
        "is full and takes no new jobs; raise its maxmemory, lower APEX_RETENTION_S, "
        "or wait until jobs that are kept expire."
    ),
    "LOADING": "is still loading its data; try again in a moment.",
    "MISCONF": (
        "takes no writes because it cannot save to its disk; "
        "free space there or make it writable, and see its log."
    ),
    "READONLY": "is a replica, which takes no writes; set REDIS_URL to its primary.",
    "MASTERDOWN": "is a replica that has lost its primary; set REDIS_URL to the primary.",
    "NOREPLICAS": (
        "takes no writes without its replicas; start them, or lower its min-replicas-to-write."
    ),
    "BUSY": "is busy with a long script; wait for it, or end it with SCRIPT KILL.",
    "CLUSTERDOWN": "is a cluster, which apexq does not use; set REDIS_URL to a single server.",
    "CROSSSLOT": "is a cluster, which apexq does not use; set REDIS_URL to a single server.",
    "MOVED": "is a cluster, which apexq does not use; set REDIS_URL to a single server.",
    "NOAUTH": "wants a password; put user and password into REDIS_URL, as redis://user:pw@host.",
    "WRONGPASS": "refuses this user or password; correct those in REDIS_URL.",
    "NOPERM": "does not let this user do its work ({text}); grant what docs/redis.md lists.",
}

# redis-py cuts off the first word of errors that it has a class for.
_CLASSES = {
    "OutOfMemoryError": "OOM",
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "NoPermissionError": "NOPERM",
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "NOAUTH",
    "MasterDownError": "MASTERDOWN",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "MovedError": "MOVED",
}


_WHERE = re.compile(r"^Error -?\d+ connecting to [^ ]+\. ")


def translate(url: str, error: Exception) -> CorruptEntry | RedisUnavailable:
    """Our error for one of redis-py's, of the server at ``url``."""
    text = str(error)
    where = shown(url)
    why = _reason(error, text)
    if why:
        said = WHY[why].format(text=text)
        return RedisUnavailable(f"Redis at {where} {said}", url=where, reason=text)
    if "WRONGTYPE" in text or "not an integer" in text or isinstance(error, UnicodeDecodeError):
        return CorruptEntry(f"A ledger entry is damaged ({text}); submit the request again.")
    if isinstance(error, ResponseError) and "script" in text:
        return CorruptEntry(f"A ledger entry is damaged ({text}); submit the request again.")
    said = _WHERE.sub("", text).rstrip(".")  # the URL says where
    return RedisUnavailable(url=where, reason=said or type(error).__name__)


def _reason(error: Exception, text: str) -> str | None:
    """The key of :data:`WHY` for this error, or None."""
    if "Authentication required" in text:
        return "NOAUTH"
    first = text.partition(" ")[0]
    return first if first in WHY else _CLASSES.get(type(error).__name__)
