"""What the ledger must hold, in plain Python, and what may happen to it: the scripts' model."""

import pytest

NOUNS = ("books", "budgets", "instances", "invariants", "producers", "wake_ups", "workers")

# What an assertion saw is told as in a test.
pytest.register_assert_rewrite(*(f"{__name__}.{noun}" for noun in NOUNS))
