"""When an event loop counts as one that stands still."""

from __future__ import annotations

from workers.pulse import MOST_STILL, Pulse


def test_a_loop_that_turned_and_does_no_more_is_gone_after_a_minute_of_looks() -> None:
    pulse = Pulse()
    pulse.turn()

    looks = [pulse.is_gone() for _ in range(MOST_STILL + 1)]

    assert looks == [False] * MOST_STILL + [True]


def test_a_loop_that_turns_now_and_then_is_not_gone() -> None:
    pulse = Pulse()
    for _ in range(3):
        pulse.turn()
        assert not any(pulse.is_gone() for _ in range(MOST_STILL - 1))


def test_a_loop_that_has_not_begun_is_waited_for() -> None:
    pulse = Pulse()

    assert not any(pulse.is_gone() for _ in range(3 * MOST_STILL))
