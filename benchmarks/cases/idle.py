"""The memory of a worker that has served a few jobs and has none now."""

from __future__ import annotations

import psutil

from benchmarks.goal import below
from benchmarks.plain_app import PUBLISH
from benchmarks.process import Process
from benchmarks.row import Row
from benchmarks.stage import PLAIN, PROMPT, WORKED, Stage, rest

SERVED = 20
MB = 1_000_000


def measure(stage: Stage) -> list[Row]:
    """Megabytes of parent and child together.

    RSS counts what the two share twice. PSS, which Linux has, halves it.
    """
    ours, plain = stage.workers()
    _serve(stage)
    looks = [(_memory(ours), _memory(plain)) for _ in range(stage.scale.idle_looks)]
    rows = []
    for kind, goal in (("rss", below(130)), ("pss", None)):
        mine, theirs = ([side[kind] for side in pair] for pair in zip(*looks, strict=True))
        if all(mine):
            name = f"idle worker, parent and child, {kind.upper()}"
            rows.append(Row(name, "MB", mine, theirs, goal))
    return rows


def _serve(stage: Stage) -> None:
    client = stage.client(WORKED)
    for _ in range(SERVED):
        client.complete(PROMPT, agent_id="a")
        stage.plain.tasks[PUBLISH].apply_async((PROMPT, "nobody"))
    for database in (WORKED, PLAIN):
        rest(stage.bare(database))


def _memory(worker: Process) -> dict[str, float]:
    parent = psutil.Process(worker.pid)
    infos = [one.memory_full_info() for one in (parent, *parent.children(recursive=True))]
    return {kind: sum(getattr(info, kind, 0) for info in infos) / MB for kind in ("rss", "pss")}
