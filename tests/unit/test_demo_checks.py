"""The demo's verdicts, and what it shows on each kind of screen."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ledger.errors import BudgetExceeded
from ledger.messages import Event, Result, State, Usage
from producer.cli.demo.act import Act
from producer.cli.demo.agents import TASKS, Agent, agents
from producer.cli.demo.checks import judge
from producer.cli.demo.lines import Lines
from producer.cli.demo.panes import Panes
from producer.cli.demo.report import rows_of
from routing import ROLES

SECRETS = [f"secret{number}" for number in range(5)]


@pytest.fixture
def cast() -> list[Agent]:
    secrets = iter(SECRETS)
    return agents(mock=True, draw_secret=lambda: next(secrets))


def result(number: int, text: str | None = None, instance: str | None = None) -> Result:
    return Result(
        job_id=str(number),
        state=State.SUCCEEDED,
        text=text or f"answer {number}",
        usage=Usage(prompt_tokens=10, completion_tokens=number),
        instance=instance or f"inst{number}",
    )


@pytest.fixture
def act() -> Act:
    ends = {name: result(number) for number, name in enumerate(TASKS)}
    return Act(ends=dict(ends), took_s=1.0, used=60, held=0, limit=2000)


def failures(cast: list[Agent], alone: Act, together: Act) -> list[str]:
    verdicts = judge(cast, alone, together)
    return [f"{one.name}: {failure}" for one in verdicts for failure in one.failures]


def test_the_agents_are_the_standard_ones_and_each_knows_its_own_secret_only(
    cast: list[Agent],
) -> None:
    assert [agent.name for agent in cast] == list(ROLES)
    for agent in cast:
        assert [secret for secret in SECRETS if secret in agent.prompt] == [agent.secret]


def test_a_real_model_is_not_told_what_is_meant_for_the_mock() -> None:
    assert all("[[" not in one.prompt for one in agents(mock=False, draw_secret=lambda: "x"))


def test_all_hold_when_nothing_is_wrong(cast: list[Agent], act: Act) -> None:
    verdicts = judge(cast, act, act)
    assert [verdict.name for verdict in verdicts if verdict.held] == [
        *("answers", "instances", "isolation", "budget")
    ]


def test_an_answer_that_company_changes_is_a_leak(cast: list[Agent], act: Act) -> None:
    together = replace(act, ends=act.ends | {"Coder": result(1, "answer 1, and more")})
    said = failures(cast, act, together)
    assert said == ["isolation: Coder answered otherwise among the others than alone"]


def test_the_secret_of_another_agent_is_a_leak(cast: list[Agent], act: Act) -> None:
    both = replace(act, ends=act.ends | {"Critic": result(3, f"I heard {SECRETS[0]}")})
    said = failures(cast, both, both)
    assert said == ["isolation: Critic's answer has the secret of Planner"]


def test_the_own_secret_is_none(cast: list[Agent], act: Act) -> None:
    both = replace(act, ends=act.ends | {"Planner": result(0, f"Mine is {SECRETS[0]}")})
    assert failures(cast, both, both) == []


def test_two_agents_on_one_instance_are_told(cast: list[Agent], act: Act) -> None:
    together = replace(act, ends=act.ends | {"Runner": result(2, instance="inst0")})
    said = failures(cast, act, together)
    assert said == ["instances: Runner and Planner both ran on inst0"]


def test_a_job_that_failed_is_told_once(cast: list[Agent], act: Act) -> None:
    together = replace(act, ends=act.ends | {"Runner": BudgetExceeded("No room.")}, used=48)
    assert failures(cast, act, together) == ["answers: Runner got no answer: No room."]
    assert rows_of(together)[2][:2] == ("Runner", "–")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": 50}, "60 tokens were used, and 50 were allowed"),
        ({"held": 7}, "7 tokens are still held, though no job is under way"),
        ({"used": 61}, "61 tokens were charged, and 60 were used"),
    ],
)
def test_wrong_books_are_told(
    cast: list[Agent], act: Act, wrong: dict[str, int], said: str
) -> None:
    broken = replace(act, **wrong)  # type: ignore[arg-type]
    assert failures(cast, act, broken) == [f"budget: {said}"]


def test_lines_have_a_few_words_each_and_the_agents_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Lines()
    for word in ["one", "two", "three", "four", "five", "six"]:
        lines.hear("Coder", Event(kind="chunk", text=f"{word} "))
    lines.hear("Planner", Event(kind="chunk", text="\x1b[31mred"))
    lines.end("Coder", result(1))
    lines.end("Planner", BudgetExceeded("No room."))
    assert capsys.readouterr().out.splitlines() == [
        "[Coder] one two three four five",
        "[Coder] six",
        "[Planner] \ufffd[31mred",
        "[Planner] failed: No room.",
    ]


@pytest.mark.parametrize(("width", "height"), [(75, 16), (80, 24), (100, 40), (200, 50)])
def test_panes_fit_the_terminal_and_show_the_end_of_a_long_answer(width: int, height: int) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=width, height=height)
    panes = Panes(list(TASKS), console)
    panes.begin("one after another")
    panes.begin("all five at once")
    for number, name in enumerate(TASKS):
        panes.hear(name, Event(kind="chunk", text="word " * 200 + f"\x1b[31mlast{number}"))
        panes.end(name, result(number))
    console.print(panes._picture())
    lines = shown.getvalue().splitlines()
    assert len(lines) <= height - 1
    assert max(map(len, lines)) <= width
    assert all(f"last{number}" in shown.getvalue() for number in range(5))
    assert "\x1b" not in shown.getvalue()
