"""About how many tokens a prompt has."""

from __future__ import annotations

from typing import Any

from ledger.messages import Request, parse_request
from workers.backends.servers.likely_count import LikelyCount

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def request(size: int, **fields: Any) -> Request:
    return parse_request(**({"prompt": "a" * size} | fields), agent_id="a")


def test_at_first_it_is_about_a_fourth_of_the_bytes() -> None:
    assert 1000 < LikelyCount().of(request(4000)) < 1050


def test_it_nears_what_the_server_counts() -> None:
    count = LikelyCount()
    for _ in range(30):
        count.learn(request(4000), counted=2000)

    assert 1950 < count.of(request(4000)) <= 2000


def test_of_short_prompts_and_of_images_it_learns_nothing() -> None:
    count, before = LikelyCount(), LikelyCount().of(request(4000))
    shown = {"role": "user", "content": [{"type": "text", "text": "a" * 4000}, IMAGE]}

    count.learn(request(10), counted=500)
    count.learn(parse_request(messages=[shown], agent_id="a"), counted=9000)
    count.learn(request(4000), counted=0)

    assert count.of(request(4000)) == before
