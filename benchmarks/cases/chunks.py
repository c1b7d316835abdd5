"""How old a token is when a reader in another process has it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from benchmarks.fleet import INSTANCE
from benchmarks.goal import ratio_at_most
from benchmarks.process import Process
from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stage import STOPPED, Stage
from benchmarks.stats import quantile

WAIT_S = 10
RATE = 200  # tokens per second


def measure(stage: Stage) -> list[Row]:
    """Microseconds from a token's making to its reader, median and 99th percentile.

    The token is the time of its making; processes of one machine share the monotonic clock. Ours
    goes the whole way, runner, sender, ledger and ``job.stream()``; the baseline is a bare PUBLISH
    of as many bytes and a bare subscriber.
    """
    stage.dismiss()
    stage.empty(STOPPED)
    writer = stage.talker("benchmarks.writer", stage.settings(STOPPED).redis_url)
    ours, baseline = interleave(stage.scale.rounds, _ours(stage, writer), _bare(stage, writer))
    return [
        Row(
            f"chunk at {RATE} tokens/s, made to read, p{percent}",
            "us",
            [quantile(ages, percent / 100) for ages in ours],
            [quantile(ages, percent / 100) for ages in baseline],
            ratio_at_most(1.5) if percent == 50 else None,
        )
        for percent in (50, 99)
    ]


def _ours(stage: Stage, writer: Process) -> Callable[[], list[float]]:
    client, count = stage.client(STOPPED), stage.scale.chunks

    def read() -> list[float]:
        job = client.submit("stamps", agent_id="a", max_tokens=count)
        writer.tell(f"run {INSTANCE} {job.id} {count} {RATE}")
        ages: list[float] = []
        for event in job.stream():
            now = time.monotonic_ns()
            ages += [(now - int(stamp)) / 1000 for stamp in event.text.split()]
        writer.answer()
        return ages

    return read


def _bare(stage: Stage, writer: Process) -> Callable[[], list[float]]:
    broker, count = stage.bare(STOPPED), stage.scale.chunks

    def read() -> list[float]:
        channel = uuid.uuid4().hex
        ages: list[float] = []
        with broker.pubsub(ignore_subscribe_messages=True) as announcements:
            announcements.subscribe(channel)
            announcements.get_message(timeout=WAIT_S)
            writer.tell(f"publish {INSTANCE} {channel} {count} {RATE}")
            while len(ages) < count:
                message = announcements.get_message(timeout=WAIT_S)
                now = time.monotonic_ns()
                if message is not None:
                    ages.append((now - int(str(message["data"]).split()[0])) / 1000)
        writer.answer()
        return ages

    return read
