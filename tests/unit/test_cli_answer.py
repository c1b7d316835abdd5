"""What `apexq ask` prints of an answer's events, and where."""

from __future__ import annotations

import sys

import pytest

from ledger.messages import Event
from producer.cli.answer import Answer


def thinks(text: str) -> Event:
    return Event(kind="chunk", reasoning=text)


def says(text: str) -> Event:
    return Event(kind="chunk", text=text)


CALLS = Event(kind="chunk", tool_calls=({"index": 0, "id": "call_1"},))
RESET = Event(kind="reset")
ANEW = "apexq: the worker was lost; another attempt begins the answer anew:\n"


@pytest.mark.parametrize(
    ("events", "out", "err"),
    [
        ([says("Hel"), says("lo")], "Hello\n", ""),
        ([says("Hello\n")], "Hello\n", ""),
        ([], "\n", ""),
        ([thinks("Hm"), thinks("m."), says("Hi")], "Hi\n", "Hmm.\n"),
        ([thinks("Hmm.\n"), says("Hi")], "Hi\n", "Hmm.\n"),
        ([thinks("Hm"), RESET, says("Hi")], "Hi\n", f"Hm\n{ANEW}"),
        ([CALLS], "", ""),
        ([thinks("Hm"), CALLS], "", "Hm\n"),
        ([says("Let me see."), CALLS], "Let me see.\n", ""),
    ],
)
def test_text_goes_to_stdout_and_thoughts_to_stderr_each_to_the_end_of_its_line(
    events: list[Event], out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Answer(with_reasoning=True)
    for event in events:
        answer.print(event)
    answer.end()
    assert capsys.readouterr() == (out, err)


def test_thoughts_that_nobody_wants_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer(with_reasoning=False)
    for event in (thinks("Hm"), says("Hi")):
        answer.print(event)
    answer.end()
    assert capsys.readouterr() == ("Hi\n", "")


def test_in_a_terminal_thoughts_are_dimmed_and_cannot_drive_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    Answer(with_reasoning=True).print(thinks("a\x1b[2J"))
    assert capsys.readouterr().err == "\x1b[2ma\N{REPLACEMENT CHARACTER}[2J\x1b[0m"
