"""``apexq budget`` and ``apexq usage``, run as a user runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producer import LLMClient
from producer.local import LocalStack
from tests.support.command import apexq, assert_one_line

TOML = """
[budgets.tenant.default]
tokens_per_day = 2_000_000
[budgets.role.Planner]
tokens_per_hour = 3000
"""
PRICES = """
[prices.mock]
prompt = 1_000_000
completion = 2_500_000.5
currency = "EUR"
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """One instance, on which three agents of two tenants have spent tokens."""
    with LocalStack(instances=1, env={**os.environ, "APEX_CONFIG": ""}) as stack:
        for tenant, agent in (("acme", "a"), ("default", "Coder"), ("default", "Planner")):
            with LLMClient(stack.settings, tenant=tenant) as client:
                client.complete("hello", agent_id=agent, max_tokens=3)
        yield stack


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with an apexq.toml."""
    (tmp_path / "apexq.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_limit_is_set_shown_and_taken_back(stack: LocalStack) -> None:
    done = apexq("budget", "set", "agent", "Coder", "--tokens-per-day", "5000", url=stack.redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))
    assert rows(done.stdout)[1:] == [
        ["agent:Coder", "total", "none", "4", "0"],
        ["day", "5,000", "0", "0", "5,000", tomorrow, "00:00", "UTC", "set"],
    ]

    refused = apexq("ask", "hi", "--agent", "Coder", "--max-tokens", "9000", url=stack.redis_url)
    assert refused.returncode == 4
    assert_one_line(refused.stderr, "agent:Coder has used 0 and holds 0 of 5,000 tokens a day; ")

    done = apexq("budget", "reset", "agent", "Coder", url=stack.redis_url)
    assert rows(done.stdout)[1:] == [["agent:Coder", "total", "none", "4", "0"]]


def test_without_a_scope_the_tenant_and_what_has_a_limit_is_shown(stack: LocalStack) -> None:
    apexq("budget", "set", "agent", "x", "--tokens", "7", url=stack.redis_url)
    apexq("budget", "set", "agent", "y", "--tokens", "7", "--tenant", "acme", url=stack.redis_url)

    shown = json.loads(apexq("budget", "--json", url=stack.redis_url).stdout)["budgets"]

    assert [(one["scope"], one["id"]) for one in shown] == [
        ("tenant", "default"),
        ("agent", "x"),
        ("role", "Planner"),
    ]
    assert (shown[0]["limit"], shown[0]["used"]) == (None, 8)
    assert (shown[1]["limit"], shown[1]["was_set"]) == (7, True)
    (hour,) = shown[2]["windows"]
    assert (hour["window"], hour["limit"], hour["was_set"]) == ("hour", 3000, False)
    apexq("budget", "reset", "agent", "x", url=stack.redis_url)
    assert "agent:x" not in apexq("budget", "show", url=stack.redis_url).stdout


def test_a_sessions_limit_is_its_agents(stack: LocalStack) -> None:
    named = ("session", "s", "--agent", "a")
    apexq("budget", "set", *named, "--tokens", "5", url=stack.redis_url)
    shown = apexq("budget", "show", *named, "--json", url=stack.redis_url)
    assert json.loads(shown.stdout)["budgets"][0]["limit"] == 5


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["set", "agent", "a", "--tokens", "0"], 4, "tokens: Input should be greater than"),
        (["set", "agent", "a", "--tokens", "-1"], 4, "tokens: Input should be greater than"),
        (["set", "agent", "a", "--tokens", "nan"], 2, "'nan' is not a valid integer"),
        (["set", "agent", "a", "--tokens", "1.5"], 2, "'1.5' is not a valid integer"),
        (["set", "agent", "a", "--tokens-per-week", "5"], 2, "'--tokens-per-day'"),
        (["set", "agent", "a"], 2, "set takes a limit, such as --tokens-per-day 100000."),
        (["set", "role", "Boss", "--tokens", "5"], 4, "unknown role 'Boss'; the roles are "),
        (["set", "rol", "x", "--tokens", "5"], 4, "unknown scope 'rol'; did you mean 'role'?"),
        (["set", "session", "s", "--tokens", "5"], 4, "a session belongs to an agent"),
        (["reset", "agent"], 2, "reset takes a scope and an id"),
        (["show", "agent", "a", "--tokens", "5"], 2, "--tokens is for `apexq budget set`."),
        (["forget"], 2, "'forget' is not one of"),
    ],
)
def test_a_budget_that_makes_no_sense_is_one_line(
    stack: LocalStack, args: list[str], code: int, sentence: str
) -> None:
    done = apexq("budget", *args, url=stack.redis_url)
    assert (done.returncode, done.stdout) == (code, "")
    assert_one_line(done.stderr, sentence)


def test_usage_is_added_up_in_every_way(stack: LocalStack) -> None:
    assert rows(apexq("usage", url=stack.redis_url).stdout) == [
        ["TENANT", "JOBS", "PROMPT", "ANSWER", "TOKENS"],
        ["acme", "1", "1", "3", "4"],
        ["default", "2", "2", "6", "8"],
        ["total", "3", "3", "9", "12"],
    ]
    by_agent = apexq("usage", "--by", "agent", "--tenant", "default", url=stack.redis_url)
    assert [row[:2] for row in rows(by_agent.stdout)[1:-1]] == [
        ["default", "Coder"],
        ["default", "Planner"],
    ]
    by_model = apexq("usage", "--by", "model", "--json", url=stack.redis_url)
    assert json.loads(by_model.stdout)["lines"] == [
        {
            "model": "mock",
            "jobs": 3,
            "prompt_tokens": 3,
            "completion_tokens": 9,
            "tokens": 12,
            "cost": {},
            "unpriced_tokens": 12,
        }
    ]
    by_day = apexq("usage", "--by", "day", "--since", "2026-01-01", url=stack.redis_url)
    assert rows(by_day.stdout)[-1] == ["total", "3", "3", "9", "12"]


def test_usage_is_shown_in_money_where_there_is_a_price(stack: LocalStack, tmp_path: Path) -> None:
    (tmp_path / "apexq.toml").write_text(PRICES)
    total = rows(apexq("usage", url=stack.redis_url).stdout)[-1]
    assert total == ["total", "3", "3", "9", "12", "25.50", "EUR"]
    found = json.loads(apexq("usage", "--json", url=stack.redis_url).stdout)
    assert found["total"]["cost"] == {"EUR": "25.5000045"}


def test_usage_of_nobody_says_so_and_a_wrong_day_is_one_line(stack: LocalStack) -> None:
    assert apexq("usage", "--tenant", "no", url=stack.redis_url).stdout == "Nothing was spent.\n"
    done = apexq("usage", "--since", "yesterday", url=stack.redis_url)
    assert done.returncode == 2
    assert_one_line(done.stderr, "'yesterday' does not match the format '%Y-%m-%d'")
