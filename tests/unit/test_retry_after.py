"""When a server wants to be asked again."""

from __future__ import annotations

import pytest

from workers.backends.servers.retry_after import LONGEST_S, retry_after_s

NOON = 1_795_262_400.0  # 2026-11-21 12:00:00 UTC


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "999999"}, LONGEST_S),
        ({"retry-after": "inf"}, LONGEST_S),
        ({"retry-after": "Sat, 21 Nov 2026 11:59:00 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 99999 12:00:00 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_it_is_read_from_seconds_milliseconds_and_dates(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert retry_after_s(headers, NOON) == wait_s
