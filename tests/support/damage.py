"""Ways in which a ledger entry can be damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger import keys

Damage = Callable[[Any, str], None]  # takes a redis-py client and a job's id


def no_hash(client: Any, job_id: str) -> None:
    """Its hash is replaced by a string."""
    client.delete(keys.job(job_id))
    client.set(keys.job(job_id), "junk")


def lacks(field: str) -> Damage:
    """A field of its hash is missing."""
    return lambda client, job_id: client.hdel(keys.job(job_id), field)


def has(field: str, value: str) -> Damage:
    """A field of its hash is not what the ledger writes."""
    return lambda client, job_id: client.hset(keys.job(job_id), field, value)


def cut_request(client: Any, job_id: str) -> None:
    """Its request is cut."""
    client.set(keys.request(job_id), client.get(keys.request(job_id))[:-5])


def no_request(client: Any, job_id: str) -> None:
    """Its request is gone."""
    client.delete(keys.request(job_id))


def junk_result(client: Any, job_id: str) -> None:
    """Its result is not JSON."""
    client.set(keys.result(job_id), "junk")


def no_stream(client: Any, job_id: str) -> None:
    """Its stream is replaced by a string."""
    client.delete(keys.stream(job_id))
    client.set(keys.stream(job_id), "junk")


def stream_has(**fields: str) -> Damage:
    """Its stream has an entry that the ledger did not write."""
    return lambda client, job_id: client.xadd(keys.stream(job_id), fields, id="1-0")


OF_ITS_HASH: dict[str, Damage] = {
    "no hash": no_hash,
    "no state": lacks("state"),
    "no fence": lacks("fence"),
    "no instance": lacks("instance"),
    "no held": lacks("held"),
    "no timeout": lacks("timeout"),
    "no made": lacks("made"),
    "no tenant": lacks("tenant"),
    "a state that does not exist": has("state", "flying"),
    "a fence that is no number": has("fence", "x"),
    "a hold that is no number": has("held", "x"),
}

OF_ITS_REQUEST: dict[str, Damage] = {"cut request": cut_request, "no request": no_request}

OF_ITS_STREAM: dict[str, Damage] = {
    "no stream": no_stream,
    "an event that is not JSON": stream_has(e="junk"),
    "an event that is no event": stream_has(e='{"kind": "chunk", "colour": "red"}'),
    "an entry that is no event": stream_has(x="y"),
}
