"""From its text alone an answer goes on as if it had not been interrupted."""

from __future__ import annotations

import itertools

from tests.contract.local.conftest import ALSO_IN_NF4, Start
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import Library, answer, asked, cuts


@ALSO_IN_NF4
def test_greedy_text_repeats_and_depends_on_the_prompt(start: Start) -> None:
    backend = start()
    first = answer(backend, asked("hello"))
    other = answer(backend, asked("hellp"))
    again = answer(backend, asked("hello"))

    assert text_of(first) == text_of(again) != text_of(other)
    assert first[-1].finish_reason == "length"
    assert tokens_of(first) == 60


@ALSO_IN_NF4
def test_another_process_continues_greedy_text_from_every_cut(
    library: Library, start: Start
) -> None:
    request = asked(max_tokens=library.tokens)
    whole = answer(start(), request)
    another = start()

    for before, made in cuts(whole, library.cuts):
        rest = answer(another, request, before, made)
        assert before + text_of(rest) == text_of(whole)
        assert made + tokens_of(rest) == library.tokens


def test_a_partial_answer_may_be_read_in_batches(library: Library, start: Start) -> None:
    request = asked(max_tokens=150)
    whole = answer(start(), request)
    fast = start(resume_batch=32)

    for before, made in cuts(whole, library.few):
        assert before + text_of(answer(fast, request, before, made)) == text_of(whole)


def test_an_answer_is_continued_up_to_the_window_and_in_small_steps(
    library: Library, start: Start
) -> None:
    small = start(ctx_tokens=128, n_batch=4, resume_batch=16)
    request = asked(max_tokens=500)
    whole = answer(small, request)

    for before, made in cuts(whole, library.few):
        rest = answer(small, request, before, made)
        assert before + text_of(rest) == text_of(whole)
        assert made + tokens_of(rest) == tokens_of(whole)
    assert small.count_tokens(request) + tokens_of(whole) == 128


def test_a_seed_repeats_the_answer_and_continues_it_from_every_cut(
    library: Library, start: Start
) -> None:
    most = min(library.tokens, 80)
    request = asked(temperature=0.9, top_p=0.95, top_k=50, seed=11, max_tokens=most)
    whole = answer(start(), request)
    another = start()

    assert text_of(answer(another, request)) == text_of(whole)
    assert text_of(answer(another, request.model_copy(update={"seed": 12}))) != text_of(whole)
    for before, made in cuts(whole, library.cuts):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)


def test_without_a_seed_answers_differ_and_go_on_from_where_they_were(start: Start) -> None:
    backend = start()
    request = asked(temperature=1.0)
    first = answer(backend, request)

    assert text_of(first) != text_of(answer(backend, request))
    before, made = next(itertools.islice(cuts(first), 20, None))
    assert tokens_of(answer(start(), request, before, made)) == 60 - made
