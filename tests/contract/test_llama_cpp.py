"""llama.cpp on a tiny random model: what every backend promises, and what only this one has."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

import llama_cpp

from ledger.errors import ContextTooLong, InvalidRequest, InvalidSetting
from ledger.messages import ChatMessage, Request
from ledger.settings import load_settings
from tests.support import tiny_gguf
from tests.support.sentences import is_one_sentence
from workers.backends import Piece, Run, create
from workers.backends.llama import options as llama_options
from workers.backends.llama.backend import LlamaCppBackend

Start = Callable[..., LlamaCppBackend]

BYTES = {str(tiny_gguf.FIRST_BYTE + byte): -100.0 for byte in range(256)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("llama") / "tiny.gguf")


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Loads the model, with these options of the instance; ``ctx_tokens`` is a setting."""
    started: list[LlamaCppBackend] = []

    def start_one(ctx_tokens: int = 4096, **options: Any) -> LlamaCppBackend:
        backend = prepared(model, ctx_tokens=ctx_tokens, **options)
        backend.load()
        started.append(backend)
        return backend

    yield start_one
    for backend in started:
        backend.close()


@pytest.fixture
def backend(start: Start) -> LlamaCppBackend:
    return start()


def prepared(model: Path, *, ctx_tokens: int = 4096, **options: Any) -> LlamaCppBackend:
    table = {"name": "inst0", "backend": "llama_cpp", "n_threads": 1, **options}
    settings = load_settings(
        env={}, gguf_model_path=model, instances=[table], ctx_tokens=ctx_tokens
    )
    backend = create(settings.instances[0], settings)
    assert isinstance(backend, LlamaCppBackend)
    return backend


def asked(prompt: str = "hello", **options: Any) -> Request:
    given = {"prompt": prompt, "agent_id": "Coder", "temperature": 0, "max_tokens": 60, **options}
    if "messages" in options:
        del given["prompt"]
    return Request(**given)


def answer(
    backend: LlamaCppBackend, request: Request, after: str = "", made: int = 0
) -> list[Piece]:
    return list(backend.stream(Run(request, request.max_tokens - made, after)))


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def tokens_of(pieces: list[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


def cuts(pieces: list[Piece]) -> Iterator[tuple[str, int]]:
    """The text and its tokens after each piece but the last."""
    for count in range(1, len(pieces)):
        yield text_of(pieces[:count]), tokens_of(pieces[:count])


def grammar(source: str) -> dict[str, str]:
    return {"type": "grammar", "grammar": source}


# ---- Greedy, seeds, continuing


def test_greedy_text_repeats_and_depends_on_the_prompt(backend: LlamaCppBackend) -> None:
    first = answer(backend, asked("hello"))
    other = answer(backend, asked("hellp"))
    again = answer(backend, asked("hello"))

    assert text_of(first) == text_of(again) != text_of(other)
    assert first[-1].finish_reason == "length"
    assert tokens_of(first) == 60


def test_another_process_continues_greedy_text_from_every_cut(
    backend: LlamaCppBackend, start: Start
) -> None:
    request = asked(max_tokens=150)
    whole = answer(backend, request)
    another = start()

    for before, made in cuts(whole):
        rest = answer(another, request, before, made)
        assert before + text_of(rest) == text_of(whole)
        assert made + tokens_of(rest) == 150


def test_a_partial_answer_may_be_read_in_batches(backend: LlamaCppBackend, start: Start) -> None:
    request = asked(max_tokens=150)
    whole = answer(backend, request)
    fast = start(resume_batch=32)

    for before, made in cuts(whole):
        assert before + text_of(answer(fast, request, before, made)) == text_of(whole)


def test_an_answer_is_continued_up_to_the_window_and_in_small_steps(start: Start) -> None:
    small = start(ctx_tokens=128, n_batch=4, resume_batch=16)
    request = asked(max_tokens=500)
    whole = answer(small, request)

    for before, made in cuts(whole):
        rest = answer(small, request, before, made)
        assert before + text_of(rest) == text_of(whole)
        assert made + tokens_of(rest) == tokens_of(whole)
    assert small.count_tokens(request) + tokens_of(whole) == 128


@pytest.mark.parametrize("session", [None, "s1"])
def test_the_same_process_continues_greedy_text_without_reading_it_again(
    backend: LlamaCppBackend, session: str | None
) -> None:
    request = asked(max_tokens=80, session_id=session)
    whole = answer(backend, asked(max_tokens=80))

    for count in range(1, len(whole)):
        stopped = backend.stream(Run(request, 80, job_id="j1"))
        pieces = list(itertools.islice(stopped, count))
        stopped.close()
        assert text_of(answer(backend, asked("something else between"))[:1])
        run = Run(request, 80 - tokens_of(pieces), text_of(pieces), job_id="j1")
        rest = list(backend.stream(run))

        assert text_of(pieces) + text_of(rest) == text_of(whole)
        assert backend.counters.read <= 2  # the last token, to know what follows it


def test_a_seed_repeats_the_answer_and_continues_it_from_every_cut(
    backend: LlamaCppBackend, start: Start
) -> None:
    request = asked(temperature=0.9, top_p=0.95, top_k=50, seed=11, max_tokens=80)
    whole = answer(backend, request)
    another = start()

    assert text_of(answer(another, request)) == text_of(whole)
    assert text_of(answer(another, request.model_copy(update={"seed": 12}))) != text_of(whole)
    for before, made in cuts(whole):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)


def test_without_a_seed_answers_differ_and_go_on_from_where_they_were(
    backend: LlamaCppBackend, start: Start
) -> None:
    request = asked(temperature=1.0)
    first = answer(backend, request)

    assert text_of(first) != text_of(answer(backend, request))
    before, made = next(itertools.islice(cuts(first), 20, None))
    assert tokens_of(answer(start(), request, before, made)) == 60 - made


def test_the_temperature_of_the_settings_counts_where_the_request_gives_none(
    backend: LlamaCppBackend,
) -> None:
    warm = asked(temperature=None, seed=5)

    assert text_of(answer(backend, warm)) != text_of(answer(backend, asked(seed=5)))
    assert text_of(answer(backend, warm)) == text_of(
        answer(backend, asked(temperature=0.7, top_p=0.9, seed=5))
    )


def test_top_k_of_one_is_greedy(backend: LlamaCppBackend) -> None:
    request = asked(temperature=1.0, top_k=1)

    assert text_of(answer(backend, request)) == text_of(answer(backend, asked()))


# ---- Counting


def test_the_count_is_what_the_model_reads_by_its_own_tokenizer(
    backend: LlamaCppBackend, model: Path
) -> None:
    own = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    messages = (
        ChatMessage(role="system", content="Be brief. \t 日本 🙂"),
        ChatMessage(role="user", content="the thing and the other"),
    )
    rendered = "".join(f"<|{one.role}|>{one.content}<|end|>" for one in messages) + "<|assistant|>"
    request = asked(messages=messages, max_tokens=1)

    counted = backend.count_tokens(request)
    answer(backend, request)

    assert counted == len(own.tokenize(rendered.encode(), add_bos=True, special=True))
    assert backend.counters.read == counted
    own.close()


def test_a_prompt_is_a_users_message(backend: LlamaCppBackend) -> None:
    message = ChatMessage(role="user", content="hello")

    assert text_of(answer(backend, asked("hello"))) == text_of(
        answer(backend, asked(messages=(message,)))
    )


def test_a_raw_prompt_goes_in_as_it_is(start: Start) -> None:
    raw = start(chat_format="raw")

    assert raw.count_tokens(asked("x y")) == 1 + 2  # the first token, "x", " y"
    assert text_of(answer(raw, asked("<|user|>hello<|end|><|assistant|>"))) == text_of(
        answer(start(), asked("hello"))
    )
    with pytest.raises(InvalidRequest, match="no chat template") as caught:
        raw.count_tokens(asked(messages=(ChatMessage(role="user", content="hello"),)))
    assert is_one_sentence(caught.value)


def test_a_template_of_llama_cpp_is_used_by_its_name(start: Start) -> None:
    assert start(chat_format="chatml").count_tokens(asked("x")) > start().count_tokens(asked("x"))
    with pytest.raises(InvalidSetting, match=r"no chat_format 'chatnl'; known: raw, .*chatml"):
        start(chat_format="chatnl")


def test_prompt_and_answer_stay_within_the_window(start: Start) -> None:
    small = start(ctx_tokens=64)
    request = asked("x" * 40, max_tokens=500)
    prompt = small.count_tokens(request)

    assert small.abilities.window == 64
    assert prompt + tokens_of(answer(small, request)) == 64
    with pytest.raises(ContextTooLong) as caught:
        answer(small, asked("x" * 70))
    assert caught.value.window == 64


def test_the_window_is_the_models_where_that_is_smaller(start: Start) -> None:
    assert start(ctx_tokens=100_000).abilities.window == tiny_gguf.TRAINED_CTX


# ---- Whole characters


def test_a_character_of_several_tokens_comes_in_one_piece(
    backend: LlamaCppBackend, start: Start
) -> None:
    request = asked(response_format=grammar('root ::= "本🙂語" "ü"'), max_tokens=100)

    pieces = answer(backend, request)

    assert text_of(pieces) == "本🙂語ü"
    assert {piece.text for piece in pieces} <= {"本", "🙂", "語", "ü", ""}
    assert tokens_of(pieces) > 4
    another = start()
    for before, made in cuts(pieces):
        assert before + text_of(answer(another, request, before, made)) == "本🙂語ü"


def test_a_character_cut_by_the_limit_is_left_out_and_its_tokens_count(
    backend: LlamaCppBackend,
) -> None:
    request = asked(response_format=grammar('root ::= "x" "🙂"'), max_tokens=3)

    pieces = answer(backend, request)

    assert (text_of(pieces), tokens_of(pieces)) == ("x", 3)
    assert pieces[-1].finish_reason == "length"


# ---- Logprobs


def test_each_token_comes_with_its_probability_by_the_model_alone(
    backend: LlamaCppBackend, start: Start
) -> None:
    request = asked("hello", logprobs=3, stop=("never seen",), max_tokens=40)
    pieces = answer(backend, request)
    found = [one for piece in pieces for one in piece.logprobs]

    assert [len(piece.logprobs) for piece in pieces] == [piece.tokens for piece in pieces]
    assert all(one.top[0].model_copy(update={"top": one.top}) == one for one in found)  # greedy
    assert all(len(one.top) == 3 for one in found)
    assert all(0 >= a.logprob >= b.logprob for one in found for a, b in pairwise(one.top))
    # A token that is chosen in spite of the model keeps the probability that the model gave it.
    other = found[0].top[2]
    forced = answer(start(), asked("hello", logprobs=0, logit_bias={str(other.id): 100.0}))
    assert forced[0].logprobs == (other,)


def test_all_probabilities_of_a_place_add_up_to_one(backend: LlamaCppBackend) -> None:
    chosen = [
        answer(backend, asked(logprobs=0, logit_bias={str(token): 1000.0}, max_tokens=1))
        for token in range(tiny_gguf.FIRST_BYTE, tiny_gguf.N_VOCAB)
    ]
    total = sum(math.exp(one.logprobs[0].logprob) for [one] in chosen)
    left = answer(backend, asked(logprobs=20, max_tokens=1))[0].logprobs[0].top
    outside = sum(math.exp(one.logprob) for one in left if one.id < tiny_gguf.FIRST_BYTE)

    assert total + outside == pytest.approx(1, abs=0.01)


def test_tokens_of_a_cut_character_and_of_a_stop_have_theirs_too(backend: LlamaCppBackend) -> None:
    cut = answer(
        backend, asked(response_format=grammar('root ::= "x" "🙂"'), max_tokens=3, logprobs=0)
    )
    assert [one.text for piece in cut for one in piece.logprobs] == ["x", "\ufffd", "\ufffd"]
    whole = text_of(answer(backend, asked()))
    stopped = answer(backend, asked(stop=(whole[20:24],), logprobs=0))
    assert sum(len(piece.logprobs) for piece in stopped) == tokens_of(stopped)


def test_without_being_asked_there_are_none(backend: LlamaCppBackend) -> None:
    assert all(piece.logprobs == () for piece in answer(backend, asked()))


# ---- Stops


def test_a_stop_string_ends_the_answer_and_does_not_show(backend: LlamaCppBackend) -> None:
    whole = text_of(answer(backend, asked()))

    for start_at in range(0, len(whole) - 6):
        stop = whole[start_at : start_at + 4]
        expected = whole[: whole.find(stop)]
        pieces = answer(backend, asked(stop=(stop, "never seen")))
        seen = list(itertools.accumulate(piece.text for piece in pieces))

        assert pieces[-1].finish_reason == "stop"
        assert seen[-1] == expected
        assert all(expected.startswith(part) for part in seen)


def test_an_answer_with_a_stop_string_is_continued_from_every_cut(
    backend: LlamaCppBackend, start: Start
) -> None:
    whole = text_of(answer(backend, asked()))
    request = asked(stop=(whole[40:46],))
    stopped = answer(backend, request)
    another = start()

    for before, made in cuts(stopped):
        rest = answer(another, request, before, made)
        assert before + text_of(rest) == text_of(stopped)
        assert made + tokens_of(rest) == tokens_of(stopped)


def test_the_beginning_of_a_stop_string_shows_when_no_more_comes(backend: LlamaCppBackend) -> None:
    whole = text_of(answer(backend, asked()))

    assert text_of(answer(backend, asked(stop=(whole[-3:] + "zzz",)))) == whole


def test_the_models_own_end_ends_the_answer(backend: LlamaCppBackend) -> None:
    pieces = answer(backend, asked(logit_bias={str(tiny_gguf.EOS): 1000}))

    assert pieces == [Piece("", 0, "stop")]


def test_nothing_comes_once_it_is_told_to_stop(backend: LlamaCppBackend) -> None:
    run = Run(asked(max_tokens=50), 50)
    pieces = backend.stream(run)
    next(pieces)

    run.stop.set()

    assert list(pieces) == []


def test_a_long_prompt_is_given_up_between_two_batches(start: Start) -> None:
    backend = start(n_batch=8)
    run = Run(asked("word " * 200), 5)
    run.stop.set()

    assert list(backend.stream(run)) == []
    assert backend.counters.read == 0


# ---- Grammars


def test_a_schema_holds_the_answer(backend: LlamaCppBackend) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "ok": {"type": "boolean"}},
        "required": ["colour", "ok"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}

    pieces = answer(backend, asked(response_format=wanted, max_tokens=200))

    found = json.loads(text_of(pieces))
    assert set(found) == {"colour", "ok"}
    assert found["colour"] in ("red", "green")
    assert pieces[-1].finish_reason == "stop"


def test_a_grammar_holds_the_answer_and_continues_from_every_cut(
    backend: LlamaCppBackend, start: Start
) -> None:
    request = asked(response_format=grammar('root ::= ([a-f]{5} " ")+ "."'), temperature=0)
    whole = answer(backend, request)
    another = start()

    assert all(len(word) == 5 for word in text_of(whole).split(" ")[:-1])
    for before, made in cuts(whole):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)


def test_json_object_gives_an_object(backend: LlamaCppBackend) -> None:
    assert text_of(answer(backend, asked(response_format={"type": "json_object"}))).startswith("{")
    plain = asked(response_format={"type": "text"})
    assert text_of(answer(backend, plain)) == text_of(answer(backend, asked()))


@pytest.mark.parametrize(
    "response_format",
    [
        grammar("root :: yes"),
        grammar(""),
        grammar("answer ::= [a-z]"),
        grammar("root ::= root [a]"),
        grammar("root ::= other"),
        grammar('root ::= "a\0b"'),
        grammar("root ::= " + "(" * 50_000 + '"a"' + ")" * 50_000),
        grammar("".join(f"r{n} ::= r{n + 1}\n" for n in range(9_000)) + "root ::= r0"),
        grammar('root ::= "a"{1000000}'),
        {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}},
        {"type": "json_schema", "json_schema": {"schema": {"$ref": "https://example.com/a.json"}}},
        {"type": "json_schema", "json_schema": {}},
        {"type": "yaml"},
        {},
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_grammar_that_cannot_be_used_is_refused_in_a_sentence(
    backend: LlamaCppBackend, response_format: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        answer(backend, asked(response_format=response_format))

    assert is_one_sentence(caught.value)
    assert "response_format" in str(caught.value)
    assert capfd.readouterr().err == ""
    assert answer(backend, asked())


@pytest.mark.parametrize("token", ["x", "-1", "1.5", str(tiny_gguf.N_VOCAB), "²"])
def test_a_bias_on_what_is_no_token_is_refused(backend: LlamaCppBackend, token: str) -> None:
    with pytest.raises(InvalidRequest, match="logit_bias") as caught:
        answer(backend, asked(logit_bias={token: 1}))
    assert is_one_sentence(caught.value)


# ---- Sessions


def test_the_next_turn_of_a_session_reads_only_what_is_new(backend: LlamaCppBackend) -> None:
    # These letters are part of no longer token, so the answer comes back as it was made.
    options = {"session_id": "s1", "response_format": grammar("root ::= [jklmqvwxyz]+")}
    options["logit_bias"] = BYTES
    turns = [ChatMessage(role="user", content="hello")]
    first = asked(messages=tuple(turns), **options)
    said = answer(backend, first)
    turns += [
        ChatMessage(role="assistant", content=text_of(said)),
        ChatMessage(role="user", content="and what then?"),
    ]
    second = asked(messages=tuple(turns), **options)

    answer(backend, second)

    known = backend.count_tokens(first) + tokens_of(said) - 1  # its last token was never read
    assert backend.counters.reused == known
    assert backend.counters.read == backend.count_tokens(second) - known


def test_llama_cpp_itself_counts_only_the_new_tokens_of_a_turn(backend: LlamaCppBackend) -> None:
    # Given a turn that was read, and an answer of more than one token; from then on it is exact
    story = "once upon a time " * 20
    answer(backend, asked(story, session_id="s1", max_tokens=3))
    prompt = backend.count_tokens(asked(story))
    for words in ("a", "b and c"):
        evaluated = backend.evaluated
        # When
        turn = asked(story + words, session_id="s1", max_tokens=10)
        pieces = answer(backend, turn)
        # Then
        kept = pieces[0].cached_tokens
        assert prompt - 3 <= kept < prompt  # the end of the template is no longer the same
        assert backend.evaluated - evaluated == backend.count_tokens(turn) - kept + 9
        assert all(piece.cached_tokens == 0 for piece in pieces[1:])


def test_a_session_is_kept_while_others_are_served(backend: LlamaCppBackend) -> None:
    turn = asked("a long story " * 20, session_id="s1")
    before = text_of(answer(backend, turn))
    for number in range(5):
        answer(backend, asked("what else", session_id=f"other-{number}"))

    again = text_of(answer(backend, turn))

    assert again == before
    assert backend.counters.read == 1


@pytest.mark.parametrize("other", [{"session_id": "s2"}, {"agent_id": "b"}, {"tenant": "acme"}, {}])
def test_no_other_session_finds_what_one_has_read(
    backend: LlamaCppBackend, start: Start, other: dict[str, str]
) -> None:
    story = "the secret is sesame. " * 10
    owner = {"agent_id": "a", "session_id": "s1", "tenant": "default"}
    if not other:
        other = {"session_id": None}
    answer(backend, asked(story, **owner))

    same_words = asked(story, **{**owner, **other})
    text = text_of(answer(backend, same_words))

    assert backend.counters.reused == 0
    assert text == text_of(answer(start(), same_words))


def test_without_a_session_nothing_is_kept(backend: LlamaCppBackend) -> None:
    answer(backend, asked("a story " * 20))
    answer(backend, asked("a story " * 20))

    assert backend.counters.reused == 0


def test_interleaved_sessions_answer_as_if_each_were_alone(
    backend: LlamaCppBackend, start: Start
) -> None:
    requests = [asked(f"question {n % 7}", session_id=f"s{n % 5}") for n in range(40)]

    together = [text_of(answer(backend, one)) for one in requests]

    fresh = start(kept_states=0)
    alone = []
    for one in requests:
        answer(fresh, asked("empties the cache"))
        alone.append(text_of(answer(fresh, one)))
    assert together == alone


def test_kept_sessions_stay_within_their_number(start: Start) -> None:
    backend = start(kept_states=2)
    story = "a long story " * 10
    for number in range(4):
        answer(backend, asked(story, session_id=f"s{number}"))

    answer(backend, asked(story, session_id="s2"))
    assert backend.counters.read == 1
    answer(backend, asked(story, session_id="s0"))
    assert backend.counters.reused == 0


def test_without_room_no_session_is_kept(start: Start) -> None:
    backend = start(kept_mib=0)
    for session in ("s1", "s2", "s1"):
        answer(backend, asked("a long story", session_id=session))

    assert backend.counters.reused == 0


@pytest.mark.parametrize("named", ["s1", None])
@pytest.mark.parametrize("put_away", [True, False])
def test_a_session_that_is_to_be_forgotten_is_read_anew(
    backend: LlamaCppBackend, named: str | None, put_away: bool
) -> None:
    story = "a long story " * 10
    for session in ("s2", "s1"):
        answer(backend, asked(story, session_id=session))
    answer(backend, asked(story, session_id="s1", tenant="acme"))
    if not put_away:
        answer(backend, asked(story, session_id="s1"))

    backend.forget("default", named)

    answer(backend, asked(story, session_id="s1"))
    assert backend.counters.reused == 0
    answer(backend, asked(story, session_id="s2"))
    assert (backend.counters.reused > 0) == (named == "s1")
    answer(backend, asked(story, session_id="s1", tenant="acme"))
    assert backend.counters.reused > 0


# ---- Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_gpu_layer": 1}, "no option 'n_gpu_layer'; it has .*n_gpu_layers"),
        ({"n_threads": 0}, "n_threads"),
        ({"n_batch": "many"}, "n_batch"),
        ({"verbose": 1}, "verbose"),
        ({"slots": 2}, "one job at a time"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_in_a_sentence(
    model: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said) as caught:
        prepared(model, **options)
    assert is_one_sentence(caught.value)


def test_all_layers_go_to_the_gpu_and_instances_share_the_cores(model: Path) -> None:
    settings = load_settings(env={}, gguf_model_path=model, instances=2)
    options = llama_options.parse(settings.instances[0])
    many = settings.model_copy(update={"instances": settings.instances * 1000})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    assert options.n_gpu_layers == -1
    assert llama_options.threads(options, settings) == max(1, (cores or 1) // 2)
    assert llama_options.threads(options, many) == 1
    assert llama_options.threads(options.model_copy(update={"n_threads": 7}), settings) == 7


def test_it_is_not_well_before_it_is_loaded_nor_after_it_is_closed(model: Path) -> None:
    backend = prepared(model)
    assert backend.health()
    backend.load()
    assert backend.health() == ""
    backend.close()
    assert backend.health()


def test_it_is_silent(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backend = prepared(model)
    backend.load()
    answer(backend, asked())
    backend.close()

    assert capfd.readouterr() == ("", "")
