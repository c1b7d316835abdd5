"""Addresses as they are shown: nothing secret is in them."""

from __future__ import annotations

import pytest

from ledger.address import shown
from ledger.errors import InvalidSetting
from ledger.redis_client import Ledger


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://me:hidden@host:6379/0", "redis://host:6379/0"),
        ("https://hidden@host/v1", "https://host/v1"),
        ("redis://:hid@den@host/0", "redis://host/0"),
        ("rediss://host:6380/0?password=hidden&ssl_ca_certs=a", "rediss://host:6380/0"),
        ("https://host/v1?key=hidden#hidden", "https://host/v1"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize("secret", ["hid#den", "hid/den", "hid?den", "hid[den"])
def test_where_a_password_hides_its_own_end_the_address_is_not_shown(secret: str) -> None:
    url = f"redis://me:{secret}@host:6379/0"
    assert shown(url) == "redis://…"
    with pytest.raises(InvalidSetting, match="as %23 and %2F") as refused:
        Ledger(url)
    assert "hid" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://:12/34hidden@host/0", "redis://:12#34@host", "http://hid#den@host"),
        *("http://hid/den@host/v1", "http://hid?a=den@host", "https://host/v1?key=hid@den"),
    ],
)
def test_what_may_be_the_rest_of_a_password_is_not_shown_either(url: str) -> None:
    assert shown(url) == f"{url.partition('://')[0]}://…"


def test_an_address_of_another_kind_is_refused_with_an_example() -> None:
    with pytest.raises(InvalidSetting, match="looks like redis://localhost") as refused:
        Ledger("http://me:hidden@host:6379/0")
    assert "hidden" not in str(refused.value)
