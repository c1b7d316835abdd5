"""Which processes work on what is not theirs any more, and since when."""

from __future__ import annotations

from workers.strays import PATIENCE_MS, Strays, Work

MINE, GIVEN_AWAY = Work("mine", 1), Work("given away", 2)
LATER = 1 + PATIENCE_MS


def test_a_stray_has_patience_to_hear_of_it() -> None:
    strays = Strays()

    assert strays.look([MINE, GIVEN_AWAY], [MINE], now_ms=0) == {GIVEN_AWAY}
    assert strays.deaf(PATIENCE_MS, heard_since_ms=0) == set()
    assert strays.deaf(LATER, heard_since_ms=0) == {GIVEN_AWAY}


def test_one_that_reported_or_took_its_job_again_is_no_stray() -> None:
    strays = Strays()
    strays.look([GIVEN_AWAY], [], now_ms=0)

    strays.look([GIVEN_AWAY], [GIVEN_AWAY], now_ms=10)
    strays.look([GIVEN_AWAY], [], now_ms=20)

    assert strays.deaf(LATER, heard_since_ms=0) == set()
    strays.look([], [], now_ms=30)
    assert strays.deaf(10 * LATER, heard_since_ms=0) == set()


def test_the_job_in_another_process_makes_this_one_a_stray() -> None:
    work, elsewhere = Work("job", 1), Work("job", 2)

    assert Strays().look([work, elsewhere], [elsewhere], now_ms=0) == {work}


def test_while_redis_is_away_nobody_can_hear_anything() -> None:
    strays = Strays()
    strays.look([GIVEN_AWAY], [], now_ms=0)

    assert strays.deaf(LATER, heard_since_ms=1000) == set()
    assert strays.deaf(LATER + 1000, heard_since_ms=1000) == {GIVEN_AWAY}
