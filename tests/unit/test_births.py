"""Processes that end while they load their model: counted, and forgiven when one comes up."""

from __future__ import annotations

from workers.births import Births


def test_the_third_process_in_a_row_that_does_not_come_up_is_one_too_many() -> None:
    births = Births()

    seen = [births.look({pid}, set()) for pid in (1, 2, 2, 3, 4, 5)]

    assert seen == [False, False, False, False, True, False]


def test_a_process_that_comes_up_makes_up_for_the_lost_ones() -> None:
    births = Births()
    for pid in (1, 2, 3):
        births.look({pid}, set())

    assert not births.look({3}, {3})
    assert births.lost == 0
    assert not births.look({4}, set())  # its end is a lost job, not a lost load
    assert births.lost == 0


def test_a_process_that_ran_a_job_came_up_even_if_nobody_saw_it() -> None:
    births = Births()
    births.look({1}, set())

    for pid in (2, 3, 4, 5):  # each is gone before the next look
        births.came_up()
        assert not births.look({pid}, set())


def test_slots_that_load_beside_one_another_count_each() -> None:
    births = Births()
    births.look({1, 2, 3}, set())

    assert not births.look({3, 4, 5}, set())
    assert births.look({4, 5}, set())
