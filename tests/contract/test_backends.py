"""What the runner may expect of every backend. A new one is added to the candidates."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledger.messages import Request, parse_request
from ledger.redis_client import Ledger
from producer import InvalidRequest, LLMClient
from tests.support.candidates import CANDIDATES, MANY, Candidate
from tests.support.loaded import text_of, tokens_of
from tests.support.registering import OWNER, register
from workers import backends
from workers.backends import OPTIONS, WARM_UP, Backend, Piece, Run
from workers.runner import Outcome, Runner

# A value of each option that every backend which has the option must take.
A_VALUE: dict[str, Any] = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 5,
    "stop": ("\n\n",),
    "seed": 7,
    "logit_bias": {"5": 1.0},
    "logprobs": 2,
    "response_format": {"type": "json_object"},
    "tools": ({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},),
    "tool_choice": "auto",
}

Ask = Callable[..., Request]


@pytest.fixture(scope="module", params=CANDIDATES)
def candidate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Candidate]:
    candidate = CANDIDATES[request.param](tmp_path_factory.mktemp("model"))
    with candidate.servers:
        yield candidate


@pytest.fixture(scope="module")
def backend(candidate: Candidate) -> Iterator[Backend]:
    """The backend, loaded; one for all tests, as one serves all jobs of an instance."""
    backend = backends.create(candidate.spec, candidate.settings)
    backend.load()
    yield backend
    backend.close()


@pytest.fixture
def ask(backend: Backend) -> Ask:
    """A request, answered greedily where the backend can."""

    def ask(prompt: str, **options: Any) -> Request:
        if "temperature" in backend.abilities.options:
            options.setdefault("temperature", 0)
        return parse_request(prompt=prompt, agent_id="a", **options)

    return ask


def pieces_of(backend: Backend, request: Request, max_tokens: int, so_far: str = "") -> list[Piece]:
    return list(backend.stream(Run(request, max_tokens, so_far)))


def test_it_is_well_once_it_is_loaded(backend: Backend) -> None:
    assert backend.health() == ""
    assert tokens_of(pieces_of(backend, WARM_UP, 1)) <= 1


def test_an_answer_that_is_cut_has_exactly_the_tokens_it_may_have(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    for most in (1, 2, 7, MANY):
        pieces = pieces_of(backend, ask(candidate.long), most)

        assert tokens_of(pieces) == most
        assert pieces[-1].finish_reason == "length"
        assert all(piece.finish_reason is None for piece in pieces[:-1])
        assert all(piece.tokens >= 0 for piece in pieces)


def test_an_answer_that_ends_by_itself_says_so(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    pieces = pieces_of(backend, ask(candidate.short), MANY)

    assert 0 < tokens_of(pieces) <= MANY
    assert text_of(pieces)
    assert pieces[-1].finish_reason == "stop"


def test_pieces_are_text_that_can_be_sent(backend: Backend, candidate: Candidate, ask: Ask) -> None:
    for piece in pieces_of(backend, ask(candidate.long), MANY):
        assert piece.text.encode().decode() == piece.text


def test_the_same_request_is_answered_the_same_whatever_ran_between(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    first = pieces_of(backend, ask(candidate.long), MANY)
    pieces_of(backend, ask(candidate.short), MANY)
    pieces_of(backend, ask("Something else entirely.", seed=5), MANY)

    assert pieces_of(backend, ask(candidate.long), MANY) == first


def test_it_goes_on_from_every_cut_as_if_it_had_not_been_cut(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    if not backend.abilities.continues:
        pytest.skip("it does not continue")
    for prompt in (candidate.long, candidate.short):
        whole = pieces_of(backend, ask(prompt), MANY)
        for cut in range(len(whole)):
            before = whole[:cut]
            left = MANY - tokens_of(before)
            after = pieces_of(backend, ask(prompt), left, text_of(before)) if left else []

            assert text_of(before) + text_of(after) == text_of(whole), cut
            assert tokens_of(before) + tokens_of(after) == tokens_of(whole), cut
            assert not after or after[-1].finish_reason == whole[-1].finish_reason, cut


def test_prompt_tokens_are_counted_in_prompts_and_messages(backend: Backend, ask: Ask) -> None:
    def messages(*contents: str) -> Request:
        turns = [{"role": "user", "content": content} for content in contents]
        return parse_request(messages=turns, agent_id="a")

    few, more = ask("One two."), ask("One two three four five six, and Zürich 日本 too.")
    assert 0 < backend.count_tokens(few) < backend.count_tokens(more)
    assert backend.count_tokens(more) == backend.count_tokens(more)
    assert backend.count_tokens(messages("One two.")) > 0
    assert backend.count_tokens(messages("One", "two")) > backend.count_tokens(messages("One"))


def test_a_stop_in_the_midst_ends_the_answer(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    run = Run(ask(candidate.long), 900)
    pieces = backend.stream(run)
    seen = list(itertools.islice(pieces, 3))

    run.stop.set()
    rest = list(pieces)

    assert len(seen) == 3
    assert len(rest) <= 1


def test_a_stop_before_the_start_means_no_answer(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    run = Run(ask(candidate.long), 900)
    run.stop.set()

    assert tokens_of(list(backend.stream(run))) <= 1


def test_a_stop_ends_a_backend_that_waits(backend: Backend, candidate: Candidate, ask: Ask) -> None:
    if candidate.slow is None:
        pytest.skip("it cannot be made to wait")
    run = Run(ask(candidate.slow), 900)
    reader = threading.Thread(target=lambda: list(backend.stream(run)), daemon=True)
    reader.start()

    run.stop.set()

    reader.join(2)
    assert not reader.is_alive()


def test_closing_the_iterator_leaves_it_ready_for_the_next(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    expected = pieces_of(backend, ask(candidate.long), MANY)
    for read in (0, 1, 5):
        pieces = backend.stream(Run(ask(candidate.long), 900))
        list(itertools.islice(pieces, read))
        pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

        assert pieces_of(backend, ask(candidate.long), MANY) == expected
        assert backend.health() == ""


def test_it_answers_as_before_once_it_has_forgotten(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    expected = pieces_of(backend, ask(candidate.long, session_id="s1"), MANY)

    backend.forget("default", "s1")
    backend.forget("default")
    backend.forget("nobody", "nothing")

    assert pieces_of(backend, ask(candidate.long, session_id="s1"), MANY) == expected


def test_it_takes_every_option_that_it_says_it_has(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    assert backend.abilities.options <= set(OPTIONS)
    for name in backend.abilities.options:
        asked = ask(candidate.long, **{name: A_VALUE[name]})

        assert tokens_of(pieces_of(backend, asked, 5)) >= 1, name


def test_probabilities_come_one_for_each_token(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    if "logprobs" not in backend.abilities.options:
        pytest.skip("it has no logprobs")
    for piece in pieces_of(backend, ask(candidate.long, logprobs=2), MANY):
        assert [len(one.top) for one in piece.logprobs] == [2] * piece.tokens


def test_an_answer_ends_before_its_stop_text(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    if "stop" not in backend.abilities.options:
        pytest.skip("it has no stop")
    whole = text_of(pieces_of(backend, ask(candidate.long), MANY))
    middle = whole[len(whole) // 2 :][:4]

    pieces = pieces_of(backend, ask(candidate.long, stop=(middle,)), MANY)

    assert text_of(pieces) == whole.partition(middle)[0]
    assert pieces[-1].finish_reason == "stop"


def test_the_runner_refuses_the_options_that_it_lacks(
    backend: Backend, candidate: Candidate, client: LLMClient, redis_url: str
) -> None:
    # Given
    ledger = Ledger(redis_url)
    spec = candidate.spec
    register(ledger, spec.name)
    runner = Runner(ledger, backend, spec, candidate.settings, owner=OWNER, pid=os.getpid())
    for name in sorted(set(OPTIONS) - backend.abilities.options):
        job = client.submit(candidate.short, agent_id="a", **{name: A_VALUE[name]})
        # When
        outcome, why = runner.run(job.id)
        # Then
        assert outcome is Outcome.FAILED
        assert why.startswith(f"The backend {spec.backend} does not have {name}; leave it out")
        with pytest.raises(InvalidRequest, match=name):
            job.result(timeout=5)
    assert client.get_stats()["tokens_used"] == 0
    assert client.get_stats()["tokens_held"] == 0
    assert runner.run(client.submit(candidate.short, agent_id="a").id)[0] is Outcome.SUCCEEDED
    ledger.close()
