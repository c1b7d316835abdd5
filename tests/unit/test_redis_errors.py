"""What redis-py raises becomes one sentence that says what to do."""

from __future__ import annotations

import pytest
import redis.exceptions as redis_errors
from redis._parsers.base import BaseParser

from ledger.errors import CorruptEntry, RedisUnavailable
from ledger.redis_errors import WHY, translate
from tests.support.sentences import is_one_sentence

URL = "redis://me:secret@host:6379/0"


def answered(line: str) -> Exception:
    """What redis-py makes of an error line of Redis."""
    return BaseParser.parse_error(line)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "raise its maxmemory"),
        ("LOADING Redis is loading the dataset in memory", "try again in a moment"),
        ("MISCONF Redis is configured to save RDB snapshots, but it's failing", "free space"),
        ("READONLY You can't write against a read only replica.", "set REDIS_URL to its primary"),
        ("MASTERDOWN Link with MASTER is down", "set REDIS_URL to the primary"),
        ("NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
        ("BUSY Redis is busy running a script.", "SCRIPT KILL"),
        ("MOVED 3999 127.0.0.1:6381", "single server"),
        ("NOAUTH Authentication required.", "put user and password into REDIS_URL"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "correct those"),
        ("NOPERM User me has no permissions to run the 'ping' command", "docs/redis.md"),
    ],
)
def test_a_server_that_does_not_serve_says_what_to_do(line: str, advice: str) -> None:
    error = translate(URL, answered(line))
    assert isinstance(error, RedisUnavailable)
    assert advice in str(error)
    assert is_one_sentence(error)
    assert "secret" not in str(error)


def test_a_damaged_key_is_no_redis_that_is_away() -> None:
    line = "WRONGTYPE Operation against a key holding the wrong kind of value script: 0a, on @1:1."
    assert isinstance(translate(URL, answered(line)), CorruptEntry)


def test_any_other_error_is_a_redis_that_does_not_answer() -> None:
    error = translate(URL, redis_errors.ConnectionError("Connection refused"))
    assert isinstance(error, RedisUnavailable)
    assert error.reason == "Connection refused"


@pytest.mark.parametrize("why", WHY)
def test_every_reason_ends_in_what_to_do(why: str) -> None:
    assert "; " in WHY[why]
