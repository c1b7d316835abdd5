"""`apexq status`, run as a user runs it."""

from __future__ import annotations

import json

from producer import LLMClient
from producer.local import LocalStack
from tests.support.command import DONE_S, apexq, assert_one_line
from tests.support.gates import begun


def test_status_shows_instances_and_tokens(stack: LocalStack) -> None:
    apexq("ask", "hi", "--tenant", "shown", url=stack.redis_url)
    done = apexq("status", "--tenant", "shown", url=stack.redis_url)
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines() if line[:4] == "inst"] == [
        ["inst0", "ready"],
        ["inst1", "ready"],
    ]
    assert "Tokens of tenant shown: 9 used, 0 held, no limit" in done.stdout


def test_status_has_it_all_as_json(stack: LocalStack) -> None:
    found = json.loads(apexq("status", "--json", url=stack.redis_url).stdout)
    one = found["instances"][0]
    assert (one["name"], one["state"], one["backend"]) == ("inst0", "ready", "mock")
    assert (one["waiting"], one["running"]) == (0, 0)
    assert one["heard_s"] < 10
    assert found["tokens"]["tenant"] == "default"


def test_status_says_when_a_tenants_window_opens(stack: LocalStack) -> None:
    def limited_to(tokens: int) -> str:
        return json.dumps({"tenant": {"daily": {"tokens_per_day": tokens}}})

    asked = apexq(
        *("ask", "hi", "--tenant", "daily", "--max-tokens", "8"),
        url=stack.redis_url,
        APEX_BUDGETS=limited_to(1000),
    )
    assert asked.returncode == 0, asked.stderr
    status = ("status", "--tenant", "daily")
    open_ = apexq(*status, url=stack.redis_url, APEX_BUDGETS=limited_to(1000)).stdout
    full = apexq(*status, url=stack.redis_url, APEX_BUDGETS=limited_to(9)).stdout
    assert "  this day: 9 of 1,000 used; a new window begins at 00:00 UTC on 20" in open_
    assert "  this day: 9 of 9 used; budget window opens 00:00 UTC on 20" in full
    denied = apexq(
        *("ask", "hi", "--tenant", "daily", "--max-tokens", "1"),
        url=stack.redis_url,
        APEX_BUDGETS=limited_to(75),  # what this request holds
    )
    assert denied.returncode == 4
    assert_one_line(denied.stderr, "The window opens anew at 00:00 UTC")


def test_status_of_a_job_says_where_it_stands(stack: LocalStack) -> None:
    with LLMClient(stack.settings) as client:
        long = client.submit("[[mock tokens=9999 tps=20]]", agent_id="Planner")
        begun(long)
        waiting = client.submit("hi", agent_id="Planner")
        said = apexq("status", waiting.id, url=stack.redis_url).stdout
        assert "State     queued" in said
        assert "Position  1 before it" in said
        found = json.loads(apexq("status", waiting.id, "--json", url=stack.redis_url).stdout)
        assert (found["state"], found["position"], found["result"]) == ("queued", 1, None)
        assert "State     running" in apexq("status", long.id, url=stack.redis_url).stdout
        long.cancel()
        waiting.result(timeout=DONE_S)
        said = apexq("status", waiting.id, url=stack.redis_url).stdout
        assert "State     succeeded" in said
        assert "Tokens    1 prompt + 8 answer" in said


def test_status_of_no_job_is_not_found(stack: LocalStack) -> None:
    done = apexq("status", "nobody", url=stack.redis_url)
    assert done.returncode == 6
    assert_one_line(done.stderr, "Job nobody is not in the ledger")
