"""Waiting for a server that starts later than its worker."""

from __future__ import annotations

import asyncio

import pytest

from ledger.errors import BackendAuth, BackendError
from workers.backends.servers import patience
from workers.backends.servers.patience import until_it_answers


def lost(why: str) -> BackendError:
    return BackendError(f"The connection was lost ({why}).", retriable=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_AGAIN_S", 0.0)


def outcome_of(
    *answers: BackendError | str, most_s: float = 60.0
) -> tuple[str | BackendError, list[str]]:
    """What waiting for these answers ends with, and what was said meanwhile."""
    said: list[str] = []
    coming = iter(answers)

    async def ask() -> str:
        answer = next(coming)
        if isinstance(answer, BackendError):
            raise answer
        return answer

    try:
        return asyncio.run(until_it_answers(ask, most_s, said.append)), said
    except BackendError as error:
        return error, said


def test_each_reason_to_wait_is_said_once() -> None:
    answer, said = outcome_of(lost("refused"), lost("refused"), lost("starting"), "here")

    assert answer == "here"
    assert said == [
        "waiting for the server: The connection was lost (refused).",
        "waiting for the server: The connection was lost (starting).",
    ]


def test_an_error_that_does_not_pass_ends_it_at_once() -> None:
    wrong = BackendAuth(said="wrong")

    assert outcome_of(lost("refused"), wrong, "here")[0] is wrong


def test_it_ends_with_the_last_error_once_the_time_is_over() -> None:
    refused = lost("refused")

    assert outcome_of(refused, "here", most_s=0.0) == (refused, [])
