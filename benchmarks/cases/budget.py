"""What a budget costs: tokens reserved for a job and settled at its end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from benchmarks.cases.bare_redis import EMPTY
from benchmarks.fleet import INSTANCE
from benchmarks.goal import ratio_at_least
from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stage import PROMPT, STOPPED, Stage
from budgets import hold_for, levels_of
from ledger import jobs
from ledger.budget_spec import BudgetSpec
from ledger.levels import Level
from ledger.messages import Request, Result, State
from ledger.redis_client import Ledger
from ledger.scripts import Call, with_includes

# The very functions of submit.lua and finish.lua, without what these do besides.
RESERVE = """#!lua
--!include _clock
--!include _levels
local hold, levels = tonumber(ARGV[1]), {}
for i, key in ipairs(KEYS) do
  levels[i] = read_level(key, ARGV[2 * i])
  local limit, used, window = broken_limit(levels[i], hold)
  if limit then return { 'denied', i, limit, used, levels[i].held, window, now_ms() } end
end
for i, level in ipairs(levels) do add_hold(level, hold, ARGV[2 * i + 1]) end
return 'reserved'
"""
SETTLE = """#!lua
--!include _clock
--!include _levels
local levels = {}
for i, key in ipairs(KEYS) do levels[i] = read_level(key, '') end
for _, level in ipairs(levels) do settle(level, tonumber(ARGV[2]), ARGV[1]) end
return 'settled'
"""


def measure(stage: Stage) -> list[Row]:
    """Jobs per second: reserve and settle at tenant and agent against two EVALSHA that do nothing.

    And, for scale, the whole of submit and finish, which have the same in them.
    """
    stage.dismiss()
    request = Request(prompt=PROMPT, agent_id="a", max_tokens=64)
    limit = {"*": BudgetSpec(tokens=10**12)}
    settings = stage.settings(STOPPED).model_copy(
        update={"budgets": {"tenant": limit, "agent": limit}}
    )
    levels, hold = levels_of(request, settings), hold_for(request)
    rows = [
        Row(name, "1/s", *interleave(stage.scale.rounds, ours, lambda: _bare(stage)), goal)
        for name, ours, goal in (
            (
                "reserve + settle of a budget, nothing else",
                lambda: _budget_alone(stage, levels, hold),
                ratio_at_least(0.8),
            ),
            ("submit + finish of a job", lambda: _whole(stage, request, levels, hold), None),
        )
    ]
    stage.empty(STOPPED)
    return rows


def _budget_alone(stage: Stage, levels: Sequence[Level], hold: int) -> float:
    """The two steps by redis-py as it comes, as the baseline."""
    stage.empty(STOPPED)
    client, count = stage.bare(STOPPED), stage.scale.submits
    reserve, settle = (client.script_load(with_includes(text)) for text in (RESERVE, SETTLE))
    own = [level.key for level in levels]
    limits = [arg for level in levels for arg in (level.limit_arg, level.keep_arg)]
    start = time.perf_counter()
    for _ in range(count):
        reserved = client.evalsha(reserve, len(own), *own, hold, *limits)
        settled = client.evalsha(settle, len(own), *own, hold, hold // 2)
    rate = count / (time.perf_counter() - start)
    if (reserved, settled) != ("reserved", "settled"):
        raise RuntimeError(f"the budget was {reserved} and {settled}")
    return rate


def _bare(stage: Stage) -> float:
    client, count = stage.bare(STOPPED), stage.scale.submits
    sha = client.script_load(EMPTY)
    start = time.perf_counter()
    for _ in range(2 * count):
        client.evalsha(sha, 0)
    return count / (time.perf_counter() - start)


def _whole(stage: Stage, request: Request, levels: Sequence[Level], hold: int) -> float:
    """Submits, then finishes; the claims between them are not timed."""
    stage.empty(STOPPED)
    ledger, body = Ledger(stage.settings(STOPPED).redis_url), request.to_json()
    ids = [uuid.uuid4().hex for _ in range(stage.scale.submits)]
    submits = [
        jobs.submit(
            one,
            request,
            body=body,
            instance=INSTANCE,
            hold=hold,
            levels=levels,
            max_attempts=1,
            max_waiting=10**6,
        )
        for one in ids
    ]
    finishes = [
        jobs.finish(
            Result(job_id=one, state=State.SUCCEEDED, text=PROMPT, instance=INSTANCE),
            fence=1,
            levels=levels,
        )
        for one in ids
    ]
    took = _seconds(ledger, submits)
    for one in ids:
        ledger.run(
            jobs.claim(one, instance=INSTANCE, owner="bench", pid=1, lease_ms=60_000, nonce=one)
        )
    took += _seconds(ledger, finishes)
    ledger.close()
    return len(ids) / took


def _seconds(ledger: Ledger, calls: Sequence[Call[Any]]) -> float:
    start = time.perf_counter()
    for call in calls:
        ledger.run(call)
    return time.perf_counter() - start
