"""transformers on a tiny random model: what every backend promises, and what only this one has."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoTokenizer

from ledger.errors import BackendError, ContextTooLong, InvalidRequest, InvalidSetting
from ledger.messages import ChatMessage, Request
from ledger.settings import load_settings
from tests.support import tiny_safetensors
from tests.support.sentences import is_one_sentence
from workers.backends import Piece, Run, create
from workers.backends.hf.backend import HfBackend
from workers.backends.hf.device import device_of
from workers.backends.hf.options import HfOptions

Start = Callable[..., HfBackend]

# A bias towards letters that are part of no longer token: such an answer is read as it was made.
LETTERS_ALONE = {str(tiny_safetensors.token_of(letter)): 100.0 for letter in "jklmqvwxyz"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_safetensors.write(tmp_path_factory.mktemp("hf") / "tiny")


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Loads the model, with these options of the instance; ``ctx_tokens`` is a setting."""
    started: list[HfBackend] = []

    def start_one(path: Path = model, **options: Any) -> HfBackend:
        backend = prepared(path, **options)
        backend.load()
        started.append(backend)
        return backend

    yield start_one
    for backend in started:
        backend.close()


@pytest.fixture(params=["none", "nf4"])
def quantization(request: pytest.FixtureRequest) -> str:
    if request.param == "nf4":
        pytest.importorskip("bitsandbytes")
    return str(request.param)


@pytest.fixture
def backend(start: Start) -> HfBackend:
    return start()


def prepared(model: Path | str, *, ctx_tokens: int = 4096, **options: Any) -> HfBackend:
    table = {"name": "inst0", "backend": "hf", "model": str(model), "device": "cpu"}
    settings = load_settings(
        env={}, instances=[{**table, "n_threads": 1, **options}], ctx_tokens=ctx_tokens
    )
    backend = create(settings.instances[0], settings)
    assert isinstance(backend, HfBackend)
    return backend


def asked(prompt: str = "hello", **options: Any) -> Request:
    given = {"prompt": prompt, "agent_id": "Coder", "temperature": 0, "max_tokens": 60, **options}
    if "messages" in options:
        del given["prompt"]
    return Request(**given)


def answer(backend: HfBackend, request: Request, after: str = "", made: int = 0) -> list[Piece]:
    return list(backend.stream(Run(request, request.max_tokens - made, after)))


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def tokens_of(pieces: list[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


def cuts(pieces: list[Piece], step: int = 1) -> Iterator[tuple[str, int]]:
    """The text and its tokens after each piece but the last, or each ``step``-th."""
    for count in range(1, len(pieces), step):
        yield text_of(pieces[:count]), tokens_of(pieces[:count])


# ---- Kinds of models

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 310,
    "eos_token_id": tiny_safetensors.EOS,
}
LINEAR = {
    f"linear_{name}": size
    for name, size in {
        "num_key_heads": 2,
        "num_value_heads": 2,
        "key_head_dim": 16,
        "value_head_dim": 16,
    }.items()
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}


def of_kind(folder: Path, kind: str, **shape: Any) -> Path:
    """The tiny model's tokenizer with random weights of another kind of model."""
    tiny_safetensors.write(folder)
    (folder / "model.safetensors").unlink()
    torch.manual_seed(1)
    own = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**{**SMALL, **shape}))
    own.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "shape", "keeps"),
    [
        ("qwen3", {}, True),
        ("mixtral", {"num_local_experts": 4}, True),
        # Windows that are full and recurrent layers cannot step back; they are read anew.
        ("mistral", {"sliding_window": 16}, False),
        ("qwen3_next", {**LINEAR, **EXPERTS, "shared_expert_intermediate_size": 64,
          "layer_types": ["linear_attention", "full_attention"]}, False),
    ],
)  # fmt: skip
def test_other_kinds_of_models_go_on_and_keep_sessions_too(
    start: Start, tmp_path: Path, kind: str, shape: dict[str, Any], *, keeps: bool
) -> None:
    folder = of_kind(tmp_path / kind, kind, **shape)
    backend, another = start(folder), start(folder)
    bias = dict.fromkeys(map(str, range(tiny_safetensors.FIRST_BYTE)), -100.0)  # no control tokens
    request = asked("tell a story of it", max_tokens=30, logit_bias=bias)
    whole = answer(backend, request)
    turn = request.model_copy(update={"session_id": "s1"})

    for before, made in cuts(whole, 9):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)
    answer(backend, turn)
    assert text_of(answer(backend, turn)) == text_of(whole)
    assert (backend.counters.read == 1) == keeps
    answer(backend, asked("x", session_id="s2"))
    assert text_of(answer(backend, turn)) == text_of(whole)


def test_a_model_that_cannot_step_back_hears_a_stop_before_it_reads_anew(
    start: Start, tmp_path: Path
) -> None:
    backend = start(of_kind(tmp_path / "mistral", "mistral", sliding_window=16))
    turn = asked("tell a story of it", max_tokens=30, session_id="s1")
    answer(backend, turn)
    stopped = Run(turn, turn.max_tokens)
    stopped.stop.set()

    assert list(backend.stream(stopped)) == []

    answer(backend, turn)
    assert backend.counters.read == backend.count_tokens(turn)  # the stopped one had read nothing


def test_a_model_whose_state_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    shape = {"num_heads": 4, "head_dim": 32, "state_size": 16, "n_groups": 1, "expand": 2}
    folder = of_kind(tmp_path / "mamba", "mamba2", **shape)

    with pytest.raises(BackendError, match="'mamba2' have no KV cache") as caught:
        prepared(folder).load()
    assert is_one_sentence(caught.value)


# ---- The library's own answer


def test_a_greedy_answer_is_the_librarys_own(backend: HfBackend, model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    own = AutoModelForCausalLM.from_pretrained(model)
    messages = [{"role": "user", "content": "tell me a story"}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )

    made = own.generate(**prompt, max_new_tokens=60, do_sample=False)
    request = asked("tell me a story")

    read = prompt["input_ids"].shape[1]
    assert backend.count_tokens(request) == read
    text = text_of(answer(backend, request))
    assert text == tokenizer.decode(made[0, read:], skip_special_tokens=True)


def test_weights_in_nf4_answer_otherwise_and_always_the_same(start: Start) -> None:
    pytest.importorskip("bitsandbytes")
    plain, packed = start(quantization="none"), start(quantization="nf4")

    assert text_of(answer(plain, asked())) != text_of(answer(packed, asked()))
    assert text_of(answer(packed, asked())) == text_of(answer(start(quantization="nf4"), asked()))


def test_eight_bits_may_be_asked_for(start: Start) -> None:
    pytest.importorskip("bitsandbytes")

    assert tokens_of(answer(start(quantization="int8"), asked())) == 60


def test_the_worker_has_not_imported_the_library_before_it_loads() -> None:
    code = (
        "import sys; from ledger.settings import load_settings;"
        "from workers.backends import create;"
        "settings = load_settings(env={}, instances=1, backend='hf', model='org/model');"
        "create(settings.instances[0], settings);"
        "print(sorted({'torch', 'transformers', 'bitsandbytes', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


# ---- Greedy, seeds, continuing


def test_greedy_text_repeats_and_depends_on_the_prompt(start: Start, quantization: str) -> None:
    backend = start(quantization=quantization)
    first = answer(backend, asked("hello"))

    assert text_of(first) == text_of(answer(backend, asked("hello")))
    assert text_of(first) != text_of(answer(backend, asked("hellp")))
    assert first[-1].finish_reason == "length"
    assert tokens_of(first) == 60


def test_another_process_continues_greedy_text_from_every_cut(
    start: Start, quantization: str
) -> None:
    request = asked(max_tokens=40)
    whole = answer(start(quantization=quantization), request)
    another = start(quantization=quantization)

    for before, made in cuts(whole, 3):
        rest = answer(another, request, before, made)
        assert before + text_of(rest) == text_of(whole)
        assert made + tokens_of(rest) == 40


def test_a_partial_answer_may_be_read_in_batches(backend: HfBackend, start: Start) -> None:
    request = asked(max_tokens=150)
    whole = answer(backend, request)
    fast = start(resume_batch=32)

    for before, made in cuts(whole, 20):
        assert before + text_of(answer(fast, request, before, made)) == text_of(whole)


def test_an_answer_is_continued_up_to_the_window_and_in_small_steps(start: Start) -> None:
    small = start(ctx_tokens=64, n_batch=4, resume_batch=16)
    request = asked(max_tokens=500)
    whole = answer(small, request)

    for before, made in cuts(whole, 5):
        rest = answer(small, request, before, made)
        assert before + text_of(rest) == text_of(whole)
        assert made + tokens_of(rest) == tokens_of(whole)
    assert small.count_tokens(request) + tokens_of(whole) == 64


@pytest.mark.parametrize("session", [None, "s1"])
def test_the_same_process_continues_greedy_text_without_reading_it_again(
    start: Start, quantization: str, session: str | None
) -> None:
    backend = start(quantization=quantization)
    request = asked(max_tokens=40, session_id=session)
    whole = answer(backend, asked(max_tokens=40))

    for count in range(1, len(whole), 4):
        stopped = backend.stream(Run(request, 40, job_id="j1"))
        pieces = list(itertools.islice(stopped, count))
        stopped.close()
        assert text_of(answer(backend, asked("something else between", max_tokens=3)))
        run = Run(request, 40 - tokens_of(pieces), text_of(pieces), job_id="j1")
        rest = list(backend.stream(run))

        assert text_of(pieces) + text_of(rest) == text_of(whole)
        assert backend.counters.read <= 2  # the last token, to know what follows it


def test_a_seed_repeats_the_answer_and_continues_it_from_every_cut(
    backend: HfBackend, start: Start
) -> None:
    request = asked(temperature=0.9, top_p=0.95, top_k=50, seed=11, max_tokens=60)
    whole = answer(backend, request)
    another = start()

    assert text_of(answer(another, request)) == text_of(whole)
    assert text_of(answer(another, request.model_copy(update={"seed": 12}))) != text_of(whole)
    for before, made in cuts(whole, 3):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)


def test_without_a_seed_answers_differ_and_go_on_from_where_they_were(
    backend: HfBackend, start: Start
) -> None:
    request = asked(temperature=1.0)
    first = answer(backend, request)

    assert text_of(first) != text_of(answer(backend, request))
    before, made = next(itertools.islice(cuts(first), 20, None))
    assert tokens_of(answer(start(), request, before, made)) == 60 - made


def test_the_temperature_of_the_settings_counts_where_the_request_gives_none(
    backend: HfBackend,
) -> None:
    warm = asked(temperature=None, seed=5)

    assert text_of(answer(backend, warm)) != text_of(answer(backend, asked(seed=5)))
    assert text_of(answer(backend, warm)) == text_of(
        answer(backend, asked(temperature=0.7, top_p=0.9, seed=5))
    )


def test_top_k_of_one_and_hardly_any_temperature_are_greedy(backend: HfBackend) -> None:
    greedy = text_of(answer(backend, asked()))

    assert text_of(answer(backend, asked(temperature=1.0, top_k=1))) == greedy
    assert text_of(answer(backend, asked(temperature=1e-30, top_p=1))) == greedy


def test_draws_come_as_often_as_they_are_likely(backend: HfBackend) -> None:
    # Given the chances of the first token, cut to the three likeliest and warmed up
    [likely] = answer(backend, asked(logprobs=3, max_tokens=1))[0].logprobs
    weights = [math.exp(one.logprob / 2) for one in likely.top]
    # When it is drawn many times
    drawn = [
        answer(
            backend,
            asked(temperature=2.0, top_p=1, top_k=3, seed=seed, logprobs=0, max_tokens=1),
        )[0].logprobs[0]
        for seed in range(400)
    ]
    # Then
    for one, weight in zip(likely.top, weights, strict=True):
        share = sum(token.id == one.id for token in drawn) / len(drawn)
        assert share == pytest.approx(weight / sum(weights), abs=0.08)


# ---- Counting


def test_a_prompt_is_a_users_message(backend: HfBackend) -> None:
    message = ChatMessage(role="user", content="hello")

    assert text_of(answer(backend, asked("hello"))) == text_of(
        answer(backend, asked(messages=(message,)))
    )


def test_a_raw_prompt_goes_in_as_it_is(start: Start) -> None:
    raw = start(chat_format="raw")
    framed = "<s><|user|>hello<|end|><|assistant|>"

    assert raw.count_tokens(asked("x y")) == 2  # "x", " y": this tokenizer adds no first token
    assert text_of(answer(raw, asked(framed))) == text_of(answer(start(), asked("hello")))
    with pytest.raises(InvalidRequest, match="no chat template") as caught:
        raw.count_tokens(asked(messages=(ChatMessage(role="user", content="hello"),)))
    assert is_one_sentence(caught.value)


def test_a_model_without_a_template_takes_prompts_only(start: Start, tmp_path: Path) -> None:
    plain = start(tiny_safetensors.write(tmp_path / "plain", chat_template=None))

    assert plain.count_tokens(asked("x y")) == 2


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
    assert start(ctx_tokens=100_000).abilities.window == tiny_safetensors.TRAINED_CTX


# ---- Whole characters


def test_a_character_of_several_tokens_comes_in_one_piece(backend: HfBackend, start: Start) -> None:
    # Given a model that is led to say the bytes of "é" and "日" in turn
    bias = {str(token): 40.0 for token in tiny_safetensors.tokens_of("é日")}
    request = asked(logit_bias=bias, temperature=1.0, seed=3, max_tokens=60)
    # When
    pieces = answer(backend, request)
    # Then
    assert any(len(piece.text.encode()) >= 2 and piece.tokens >= 2 for piece in pieces)
    assert tokens_of(pieces) == 60
    another = start()
    for before, made in cuts(pieces, 4):
        assert before + text_of(answer(another, request, before, made)) == text_of(pieces)


# ---- Logprobs


def test_each_token_comes_with_its_probability_by_the_model_alone(
    backend: HfBackend, start: Start
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


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "99999999", "²"])
def test_a_bias_on_what_is_no_token_is_refused(backend: HfBackend, token: str) -> None:
    with pytest.raises(InvalidRequest, match="logit_bias") as caught:
        answer(backend, asked(logit_bias={token: 1}))
    assert is_one_sentence(caught.value)


def test_the_largest_bias_is_no_error(backend: HfBackend) -> None:
    request = asked(logit_bias={"300": 1e308, "301": -1e308}, temperature=1, seed=1, logprobs=0)

    assert {one.id for piece in answer(backend, request) for one in piece.logprobs} == {300}


# ---- Stopping


def test_the_models_own_end_ends_the_answer(backend: HfBackend) -> None:
    assert answer(backend, asked(logit_bias={str(tiny_safetensors.EOS): 1000})) == [
        Piece("", 0, "stop")
    ]


def test_nothing_comes_once_it_is_told_to_stop(backend: HfBackend) -> None:
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


class Countdown(threading.Event):
    """Is set once it has been looked at so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.mark.parametrize("looks", range(tiny_safetensors.LAYERS + 1))
def test_a_prompt_is_given_up_between_two_layers(start: Start, looks: int) -> None:
    # Given a session with a first turn
    backend = start()
    turns = [asked("a story " * n, session_id="s1", max_tokens=20) for n in (10, 40)]
    expected = [text_of(answer(backend, one)) for one in turns]
    backend.forget("default")
    answer(backend, turns[0])
    # When the next one is stopped while a layer reads it
    assert list(backend.stream(Run(turns[1], 20, stop=Countdown(looks)))) == []
    # Then what was read before is still there, and nothing of what was not read
    assert text_of(answer(backend, turns[1])) == expected[1]
    assert backend.counters.reused > 10
    assert text_of(answer(backend, turns[0])) == expected[0]


# ---- Grammars


@pytest.fixture
def grammars() -> None:
    pytest.importorskip("llguidance")


def grammar(source: str) -> dict[str, str]:
    return {"type": "grammar", "grammar": source}


@pytest.mark.usefixtures("grammars")
def test_a_schema_holds_the_answer(start: Start, quantization: str) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "ok": {"type": "boolean"}},
        "required": ["colour", "ok"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}

    backend = start(quantization=quantization)
    for options in ({}, {"temperature": 1, "seed": 3}):
        pieces = answer(backend, asked(response_format=wanted, max_tokens=300, **options))

        found = json.loads(text_of(pieces))
        assert set(found) == {"colour", "ok"}
        assert found["colour"] in ("red", "green")
        assert pieces[-1].finish_reason == "stop"


@pytest.mark.usefixtures("grammars")
def test_a_grammar_holds_the_answer_and_continues_from_every_cut(
    backend: HfBackend, start: Start
) -> None:
    request = asked(response_format=grammar('root ::= ([a-f]{5} " ")+ "."'), temperature=0)
    whole = answer(backend, request)
    another = start()

    assert all(len(word) == 5 for word in text_of(whole).split(" ")[:-1])
    for before, made in cuts(whole, 3):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)


@pytest.mark.usefixtures("grammars")
def test_characters_of_several_tokens_fit_a_grammar(backend: HfBackend) -> None:
    pieces = answer(backend, asked(response_format=grammar('root ::= "本🙂語" "ü"')))

    assert text_of(pieces) == "本🙂語ü"
    assert {piece.text for piece in pieces} <= {"本", "🙂", "語", "ü", ""}


@pytest.mark.usefixtures("grammars")
def test_json_object_gives_an_object(backend: HfBackend) -> None:
    assert text_of(answer(backend, asked(response_format={"type": "json_object"}))).startswith("{")
    plain = asked(response_format={"type": "text"})
    assert text_of(answer(backend, plain)) == text_of(answer(backend, asked()))


@pytest.mark.usefixtures("grammars")
def test_a_probability_is_the_models_also_within_a_grammar(backend: HfBackend) -> None:
    free = answer(backend, asked(logprobs=20, max_tokens=1))[0].logprobs[0]
    other = next(one for one in free.top if one.text.isalpha() and one.id != free.id)

    held = asked(response_format=grammar(f'root ::= "{other.text}"'), logprobs=0, max_tokens=1)

    assert answer(backend, held)[0].logprobs[0] == other


@pytest.mark.parametrize(
    "response_format",
    [
        grammar("root :: yes"),
        grammar(""),
        grammar("answer ::= [a-z]"),
        grammar("root ::= other"),
        grammar("root ::= " + "(" * 50_000 + '"a"' + ")" * 50_000),
        grammar("".join(f"r{n} ::= r{n + 1}\n" for n in range(9_000)) + "root ::= r0"),
        {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}},
        {"type": "json_schema", "json_schema": {"schema": {"$ref": "https://example.com/a.json"}}},
        {"type": "json_schema", "json_schema": {}},
        {"type": "yaml"},
        {},
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.usefixtures("grammars")
def test_a_grammar_that_cannot_be_used_is_refused_in_a_sentence(
    backend: HfBackend, response_format: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        answer(backend, asked(response_format=response_format))

    assert is_one_sentence(caught.value)
    assert "response_format" in str(caught.value)
    assert capfd.readouterr().err == ""
    assert answer(backend, asked())


@pytest.mark.usefixtures("grammars")
def test_a_grammar_that_is_hard_to_follow_does_not_hang(backend: HfBackend) -> None:
    schema = {"type": "string", "pattern": "^(a+)+(b|a+)*[^c]{0,2000}$"}
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}

    with suppress(InvalidRequest, BackendError):
        answer(backend, asked(response_format=wanted))


def test_without_its_library_grammars_are_what_the_backend_lacks(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workers.backends.hf.backend.find_spec", lambda name: name != "llguidance" or None
    )

    assert "response_format" not in prepared(model).abilities.options


# ---- Errors of the library


def test_a_model_that_runs_out_of_memory_fails_that_job_alone(
    backend: HfBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = text_of(answer(backend, asked()))
    with monkeypatch.context() as patched:
        patched.setattr(
            "torch.nn.functional.linear", raising(torch.OutOfMemoryError("CUDA out of"))
        )
        with pytest.raises(
            BackendError, match="could not read its context: out of memory"
        ) as caught:
            answer(backend, asked())
    assert is_one_sentence(caught.value)
    assert not caught.value.retriable

    assert text_of(answer(backend, asked())) == expected


def test_a_process_whose_gpu_is_lost_ends(
    backend: HfBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with …")
    monkeypatch.setattr("torch.nn.functional.linear", raising(error))
    ended = []
    monkeypatch.setattr("os.kill", lambda *args: ended.append(args))

    answer(backend, asked())

    assert ended == [(os.getpid(), signal.SIGKILL)]
    assert "The GPU reports: CUDA error: device-side assert triggered; this" in caplog.text


def raising(error: Exception) -> Callable[..., None]:
    def raises(*args: object, **options: object) -> None:
        raise error

    return raises


# ---- Sessions


def test_the_next_turn_of_a_session_reads_only_what_is_new(start: Start, quantization: str) -> None:
    backend = start(quantization=quantization)
    options = {"session_id": "s1", "logit_bias": LETTERS_ALONE}
    turns = [ChatMessage(role="user", content="hello")]
    first = asked(messages=tuple(turns), **options)
    said = answer(backend, first)
    turns += [
        ChatMessage(role="assistant", content=text_of(said)),
        ChatMessage(role="user", content="and what then?"),
    ]
    second = asked(messages=tuple(turns), **options)

    pieces = answer(backend, second)

    known = backend.count_tokens(first) + tokens_of(said) - 1  # its last token was never read
    assert backend.counters.reused == pieces[0].cached_tokens == known
    assert backend.counters.read == backend.count_tokens(second) - known
    assert all(piece.cached_tokens == 0 for piece in pieces[1:])


def test_a_session_is_kept_while_others_are_served(backend: HfBackend) -> None:
    turn = asked("a long story " * 20, session_id="s1")
    before = text_of(answer(backend, turn))
    for number in range(5):
        answer(backend, asked("what else", session_id=f"other-{number}"))

    again = text_of(answer(backend, turn))

    assert again == before
    assert backend.counters.read == 1


@pytest.mark.parametrize("other", [{"session_id": "s2"}, {"agent_id": "b"}, {"tenant": "acme"}, {}])
def test_no_other_session_finds_what_one_has_read(
    backend: HfBackend, start: Start, other: dict[str, str | None]
) -> None:
    story = "the secret is sesame. " * 10
    owner = {"agent_id": "a", "session_id": "s1", "tenant": "default"}
    answer(backend, asked(story, **owner))

    same_words = asked(story, **{**owner, **(other or {"session_id": None})})
    text = text_of(answer(backend, same_words))

    assert backend.counters.reused == 0
    assert text == text_of(answer(start(), same_words))


def test_without_a_session_nothing_is_kept(backend: HfBackend) -> None:
    answer(backend, asked("a story " * 20))
    answer(backend, asked("a story " * 20))

    assert backend.counters.reused == 0


def test_interleaved_sessions_answer_as_if_each_were_alone(start: Start, quantization: str) -> None:
    requests = [
        asked(f"question {n % 7}", session_id=f"s{n % 5}", max_tokens=20) for n in range(30)
    ]

    backend = start(quantization=quantization)
    together = [text_of(answer(backend, one)) for one in requests]

    fresh = start(quantization=quantization, kept_states=0)
    alone = []
    for one in requests:
        answer(fresh, asked("empties the cache", max_tokens=1))
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


def test_kept_sessions_stay_within_their_memory(start: Start) -> None:
    # Given contexts of 0.7 MiB, and room for one of them beside the current one
    backend = start(kept_mib=1)
    story = "once upon a time there was a king. " * 28
    for number in range(3):
        answer(backend, asked(story, session_id=f"s{number}"))

    answer(backend, asked(story, session_id="s1"))
    assert backend.counters.read == 1
    answer(backend, asked(story, session_id="s0"))
    assert backend.counters.reused == 0


@pytest.mark.parametrize("named", ["s1", None])
@pytest.mark.parametrize("put_away", [True, False])
def test_a_session_that_is_to_be_forgotten_is_read_anew(
    backend: HfBackend, named: str | None, put_away: bool
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
        ({"n_batches": 1}, "no option 'n_batches'; it has .*n_batch"),
        ({"trust_remote_code": True}, "no option 'trust_remote_code'"),
        ({"n_threads": 0}, "n_threads"),
        ({"device": "gpu"}, "device"),
        ({"quantization": "fp4"}, "quantization"),
        ({"adapters": "folder"}, "adapters"),
        ({"slots": 2}, "one job at a time"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_in_a_sentence(
    model: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said) as caught:
        prepared(model, **options)
    assert is_one_sentence(caught.value)


def test_a_device_that_is_not_there_is_refused_in_a_sentence(model: Path) -> None:
    missing = f"cuda:{torch.cuda.device_count()}"

    with pytest.raises(InvalidSetting, match=f"device {missing}: this machine has") as caught:
        prepared(model, device=missing).load()
    assert is_one_sentence(caught.value)


def test_instances_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    tables = [{"name": f"inst{n}", "backend": "hf", "model": "org/model"} for n in range(4)]
    settings = load_settings(env={}, instances=[{"name": "first", "backend": "mock"}, *tables])
    specs = settings.instances[1:]

    assert [device_of(one, HfOptions(), settings).index for one in specs] == [0, 1, 0, 1]
    assert device_of(specs[0], HfOptions(device="cuda:1"), settings).index == 1


def test_it_is_not_well_before_it_is_loaded_nor_after_it_is_closed(model: Path) -> None:
    backend = prepared(model)
    assert backend.health()
    backend.load()
    assert backend.health() == ""
    backend.close()
    assert backend.health()


def test_it_is_silent(model: Path, capfd: pytest.CaptureFixture[str], quantization: str) -> None:
    said: list[str] = []
    backend = prepared(model, quantization=quantization)
    backend.load(said.append)
    answer(backend, asked())
    backend.close()

    assert capfd.readouterr() == ("", "")
    assert said == ["loading tiny on cpu"]
