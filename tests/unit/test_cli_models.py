"""What `apexq models` prints."""

from __future__ import annotations

import pytest

from producer.cli import output
from producer.cli.models import show

BIG = ("big", "openai", "-", "4", "1 of 1", "inst0", "tools, JSON", "small")
SMALL = ("small", "mock", "-", "1", "1 of 1", "inst1", "-", "-")


def printed(
    room: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Its lines in a terminal of that width."""
    monkeypatch.setattr(output, "_room", lambda: room)
    show([BIG, SMALL])
    return capsys.readouterr().out.splitlines()


def test_what_models_have_is_a_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head, big, small = printed(90, monkeypatch, capsys)
    assert head.split()[-2:] == ["HAS", "FALLBACK"]
    assert big.endswith("tools, JSON  small")
    assert small.split()[-2:] == ["-", "-"]


def test_in_a_narrow_terminal_it_is_a_line_below(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *_, below = lines = printed(60, monkeypatch, capsys)
    assert "HAS" not in head
    assert (len(lines), below) == (4, "big has tools, JSON")
