"""What producers order: who asks, at which priority, for how many tokens."""

from __future__ import annotations

from hypothesis import strategies as st

from ledger.settings import load_settings

INSTANCES = ("inst0", "inst1")
PRIORITIES = ("URGENT", "HIGH", "NORMAL", "LOW")
LONG_S, SHORT_S = 3600.0, 0.001

# No hours: one may end while the test runs.
BUDGETS = load_settings(
    env={"APEX_CONFIG": ""},
    budgets={
        "tenant": {"t0": {"tokens": 900, "tokens_per_day": 500}, "t1": {"tokens_per_month": 300}},
        "agent": {"Coder": {"tokens": 400, "tokens_per_day": 250}},
        "role": {"Coder": {"tokens_per_day": 200, "tokens_per_month": 220}},
        "session": {"s0": {"tokens": 150}},
        "episode": {"e0": {"tokens": 100}, "e1": {"tokens_per_day": 40}},
    },
)

NAMES = st.sampled_from(INSTANCES)

Payer = tuple[str, str, str | None, str | None]  # tenant, agent, session, episode
Order = tuple[Payer, str, int, float, bool]
ORDERS: st.SearchStrategy[Order] = st.tuples(
    st.tuples(
        st.sampled_from(["t0", "t1"]),
        st.sampled_from(["Coder", "a1"]),
        st.sampled_from([None, None, "s0"]),
        st.sampled_from([None, None, "e0", "e1"]),
    ),
    st.sampled_from(PRIORITIES),
    st.integers(1, 60),  # tokens to hold
    st.sampled_from([*[LONG_S] * 7, SHORT_S]),
    st.booleans(),  # sent twice
)
ATTEMPTS = st.integers(1, 3)
ROOMS = st.sampled_from([1000, 1000, 1000, 3])  # jobs that may wait


def other_than(instance: str) -> str:
    """The instance that it is not."""
    return next(name for name in INSTANCES if name != instance)
