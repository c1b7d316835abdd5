"""How llama.cpp is told to choose tokens."""

from __future__ import annotations

from ledger.messages import Request
from ledger.settings import load_settings
from workers.backends.local.choice import choice_of

SETTINGS = load_settings(env={}, temperature=0.3, top_p=0.4)


def test_what_a_request_does_not_say_is_as_the_settings_have_it() -> None:
    choice = choice_of(Request(prompt="hello", agent_id="a"), SETTINGS, n_vocab=10)
    assert (choice.temperature, choice.top_p) == (0.3, 0.4)


def test_what_a_request_says_counts() -> None:
    asked = Request(prompt="hello", agent_id="a", temperature=1.0, top_p=1.0)
    choice = choice_of(asked, SETTINGS, n_vocab=10)
    assert (choice.temperature, choice.top_p) == (1.0, 1.0)
