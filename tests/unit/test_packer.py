"""Our packer writes what redis-py's own writes."""

from __future__ import annotations

from typing import Any

import pytest
from redis._parsers.encoders import Encoder
from redis.connection import PythonRespSerializer

from ledger.messages import State
from ledger.packer import Packer
from ledger.priority import Priority


@pytest.mark.parametrize(
    "command",
    [
        ("PING",),
        ("SCRIPT LOAD", "return 1"),
        ("EVALSHA", "0" * 40, 1, "key", "", "ä\n", 12, 1.5, b"\x00\xff"),
        ("SET", "key", "x" * 100_000),
        ("SET", "damaged", "\udcff"),
        ("HSET", "key", "state", str(State.QUEUED), "priority", int(Priority.LOW)),
    ],
)
def test_commands_are_packed_as_redis_py_does(command: tuple[Any, ...]) -> None:
    encode = Encoder("utf-8", "surrogateescape", True).encode
    theirs = b"".join(PythonRespSerializer(6000, encode).pack(*command))

    assert b"".join(Packer().pack(*command)) == theirs
