"""Messages in an instance's list that are no wake-ups of ours."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

LARGE = 20_000_000
NO_UUID = {"__type__": "uuid", "__value__": "x"}


def wakeup(template: str, job_id: str, tag: str) -> dict[str, Any]:
    """The message that wakes a worker for the job, as the ledger writes it."""
    filled = template.replace("@@ID@@", job_id).replace("@@TAG@@", tag)
    message: dict[str, Any] = json.loads(filled.replace('"@@PRIORITY@@"', "6"))
    return message


def without(message: dict[str, Any], *path: str) -> bytes:
    """The message less one of its fields."""
    changed = copy.deepcopy(message)
    _inside(changed, *path[:-1]).pop(path[-1])
    return json.dumps(changed).encode()


def changed_to(value: object, message: dict[str, Any], *path: str) -> bytes:
    """The message with another value of one of its fields."""
    changed = copy.deepcopy(message)
    _inside(changed, *path[:-1])[path[-1]] = value
    return json.dumps(changed).encode()


def _inside(message: dict[str, Any], *path: str) -> dict[str, Any]:
    for name in path:
        message = message[name]
    return message


def encoded(body: str) -> str:
    """A message's body as kombu encodes it."""
    return base64.b64encode(body.encode()).decode()


def no_message(good: dict[str, Any]) -> dict[str, bytes]:
    """What a worker could not even read, and what others put there; ``good`` with one flaw each."""
    return {
        "nothing": b"",
        "words": b"hello",
        "zeros": b"\0" * 1000,
        "every byte": bytes(range(256)),
        "half of a message": json.dumps(good).encode()[:300],
        "a number": b"5",
        "a number too long": b"1" * 10_000,
        "null": b"null",
        "a list": b"[]",
        "an empty object": b"{}",
        "large and no JSON": b"x" * LARGE,
        "large JSON": b'"' + b"x" * LARGE + b'"',
        "no body": without(good, "body"),
        "no content type": without(good, "content-type"),
        "pickle": changed_to("application/x-python-serialize", good, "content-type"),
        "another body encoding": changed_to("utf-9", good, "properties", "body_encoding"),
        "no body encoding": without(good, "properties", "body_encoding"),
        "a body that is not base64": changed_to("***", good, "body"),
        "a body that is not JSON": changed_to(encoded("hello"), good, "body"),
        "a body that is a number": changed_to(5, good, "body"),
        "no headers": without(good, "headers"),
        "empty headers": changed_to({}, good, "headers"),
        "headers in a list": changed_to([], good, "headers"),
        "no id": without(good, "headers", "id"),
        "an id that is no text": changed_to(5, good, "headers", "id"),
        "no properties": without(good, "properties"),
        "empty properties": changed_to({}, good, "properties"),
        "no delivery info": without(good, "properties", "delivery_info"),
        "empty delivery info": changed_to({}, good, "properties", "delivery_info"),
        "no delivery tag": without(good, "properties", "delivery_tag"),
        "no task": without(good, "headers", "task"),
        "another application's task": changed_to("shop.send_mail", good, "headers", "task"),
    }


# What passes for a message until kombu or Celery looks closer; made of a good one.
ALMOST: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "lists in lists": lambda good: b"[" * 100_000,
    "another encoding": lambda good: json.dumps(good).encode("utf-16"),
    "a byte order mark": lambda good: json.dumps(good).encode("utf-8-sig"),
    "a body of lists in lists": lambda good: changed_to(encoded("[" * 100_000), good, "body"),
    "a body without arguments": lambda good: changed_to(encoded("[]"), good, "body"),
    "a body that holds a number": lambda good: changed_to(encoded("5"), good, "body"),
    "a content encoding that is no text": lambda good: changed_to(5, good, "content-encoding"),
    "a value that kombu cannot build": lambda good: changed_to(NO_UUID, good, "headers", "group"),
}
