"""The process that was interrupted goes on without reading again what it has read."""

from __future__ import annotations

import itertools

import pytest

from tests.contract.local.conftest import ALSO_IN_NF4, Start
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import Library, answer, asked, places
from workers.backends import Run


@pytest.mark.parametrize("session", [None, "s1"])
@ALSO_IN_NF4
def test_the_same_process_continues_greedy_text_without_reading_it_again(
    library: Library, start: Start, session: str | None
) -> None:
    backend = start()
    most = min(library.tokens, 80)
    request = asked(max_tokens=most, session_id=session)
    whole = answer(backend, asked(max_tokens=most))

    for count in places(whole, library.few):
        stopped = backend.stream(Run(request, most, job_id="j1"))
        pieces = list(itertools.islice(stopped, count))
        stopped.close()
        assert text_of(answer(backend, asked("something else between", max_tokens=3)))
        run = Run(request, most - tokens_of(pieces), text_of(pieces), job_id="j1")
        rest = list(backend.stream(run))

        assert text_of(pieces) + text_of(rest) == text_of(whole)
        assert backend.counters.read <= 2  # the last token, to know what follows it


def test_a_session_finds_the_beginning_of_an_answer_whichever_job_made_it(start: Start) -> None:
    backend = start()
    request = asked(max_tokens=50, session_id="s1")
    whole = text_of(answer(backend, request))
    pieces = backend.stream(Run(request, 50))
    begun = list(itertools.islice(pieces, 20))
    pieces.close()

    rest = answer(backend, request, text_of(begun), tokens_of(begun))

    assert text_of(begun) + text_of(rest) == whole
    assert backend.counters.read <= 2  # its last tokens: what comes next is no longer known
