"""From the call to the first chunk in the caller's hands, with a worker that has nothing to do."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from benchmarks.goal import ratio_at_most
from benchmarks.plain_app import PUBLISH
from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stage import PLAIN, PROMPT, WORKED, Stage, rest
from benchmarks.stats import quantile

WAIT_S = 10


def measure(stage: Stage) -> list[Row]:
    """Milliseconds, median and 99th percentile.

    Both subscribe within the time, on a connection that they keep: ours does what a user does,
    ``client.submit(...).stream()``, and the baseline has to subscribe before it sends.
    """
    stage.workers()
    ours, baseline = interleave(stage.scale.rounds, _ours(stage), _plain(stage))
    return [
        Row(
            f"submit to first chunk, idle, p{percent}",
            "ms",
            [quantile(times, percent / 100) for times in ours],
            [quantile(times, percent / 100) for times in baseline],
            ratio_at_most(1.1) if percent == 50 else None,
        )
        for percent in (50, 99)
    ]


def _ours(stage: Stage) -> Callable[[], list[float]]:
    client, broker = stage.client(WORKED), stage.bare(WORKED)

    def once() -> float:
        rest(broker)
        start = time.perf_counter()
        events = client.submit(PROMPT, agent_id="a", max_tokens=1).stream()
        next(events)
        took_ms = (time.perf_counter() - start) * 1000
        for _ in events:
            pass
        return took_ms

    return lambda: [once() for _ in range(stage.scale.first_chunks)]


def _plain(stage: Stage) -> Callable[[], list[float]]:
    broker = stage.bare(PLAIN)
    announcements = broker.pubsub(ignore_subscribe_messages=False)

    def once() -> float:
        rest(broker)
        channel = uuid.uuid4().hex
        start = time.perf_counter()
        announcements.subscribe(channel)
        announcements.get_message(timeout=WAIT_S)
        stage.plain.tasks[PUBLISH].apply_async((PROMPT, channel))
        announcements.get_message(timeout=WAIT_S)
        took_ms = (time.perf_counter() - start) * 1000
        announcements.unsubscribe(channel)
        announcements.get_message(timeout=WAIT_S)
        return took_ms

    return lambda: [once() for _ in range(stage.scale.first_chunks)]
