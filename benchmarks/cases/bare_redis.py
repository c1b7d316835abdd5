"""The floor under every figure: one round trip to this Redis on this machine."""

from __future__ import annotations

import time

from benchmarks.row import Row
from benchmarks.stage import STOPPED, Stage

EMPTY = "#!lua\nreturn 1"


def measure(stage: Stage) -> list[Row]:
    """Round trips per second of an EVALSHA whose script does nothing, by one redis-py client."""
    stage.dismiss()
    client, count = stage.bare(STOPPED), stage.scale.round_trips
    sha = str(client.script_load(EMPTY))

    def rate() -> float:
        start = time.perf_counter()
        for _ in range(count):
            client.evalsha(sha, 0)
        return count / (time.perf_counter() - start)

    rate()
    return [
        Row("bare Redis: EVALSHA of nothing", "1/s", [rate() for _ in range(stage.scale.rounds)])
    ]
