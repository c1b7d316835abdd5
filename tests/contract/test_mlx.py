"""MLX on a tiny random model: what the tests of every backend do not show."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlx_lm")

from ledger.errors import ApexError, BackendError, BackendMissing, ContextTooLong, InvalidSetting
from ledger.messages import ChatMessage, Request
from ledger.settings import load_settings
from tests.support import tiny_safetensors
from tests.support.sentences import is_one_sentence
from workers.backends import Piece, Run, create
from workers.backends.mlx.backend import MlxBackend

Start = Callable[..., MlxBackend]

STORY = "a long story " * 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_safetensors.write(tmp_path_factory.mktemp("mlx") / "tiny")


def prepared(model: Path | str | None, *, ctx_tokens: int = 4096, **options: Any) -> MlxBackend:
    table = {"name": "inst0", "backend": "mlx", "model": model and str(model), **options}
    settings = load_settings(env={}, instances=[table], ctx_tokens=ctx_tokens)
    backend = create(settings.instances[0], settings)
    assert isinstance(backend, MlxBackend)
    return backend


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Loads the model, with these options of the instance; ``ctx_tokens`` is a setting."""
    started: list[MlxBackend] = []

    def start_one(of: Path = model, **options: Any) -> MlxBackend:
        backend = prepared(of, **options)
        backend.load()
        started.append(backend)
        return backend

    yield start_one
    for backend in started:
        backend.close()


@pytest.fixture
def backend(start: Start) -> MlxBackend:
    return start()


def asked(prompt: str = "hello", **options: Any) -> Request:
    given = {"prompt": prompt, "agent_id": "Coder", "temperature": 0, "max_tokens": 60, **options}
    if "messages" in options:
        del given["prompt"]
    return Request(**given)


def answer(backend: MlxBackend, request: Request, after: str = "", made: int = 0) -> list[Piece]:
    return list(backend.stream(Run(request, request.max_tokens - made, after)))


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def tokens_of(pieces: list[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


def cuts(pieces: list[Piece]) -> Iterator[tuple[str, int]]:
    """The text and its tokens after each piece but the last."""
    for count in range(1, len(pieces)):
        yield text_of(pieces[:count]), tokens_of(pieces[:count])


# ---- Continuing


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 7, "top_k": 20}])
def test_another_process_continues_from_every_cut(
    backend: MlxBackend, start: Start, options: dict[str, Any]
) -> None:
    request = asked(max_tokens=40, **options)
    whole = answer(backend, request)
    another = start()

    for before, made in cuts(whole):
        rest = answer(another, request, before, made)
        assert before + text_of(rest) == text_of(whole)
        assert made + tokens_of(rest) == 40


def test_the_same_process_continues_from_its_cache(backend: MlxBackend) -> None:
    request = asked(max_tokens=50, session_id="s1")
    whole = text_of(answer(backend, request))
    run = Run(request, 50)
    pieces = backend.stream(run)
    begun = [next(pieces) for _ in range(20)]
    pieces.close()  # type: ignore[attr-defined]

    rest = answer(backend, request, text_of(begun), tokens_of(begun))

    assert text_of(begun) + text_of(rest) == whole
    assert backend.counters.read <= 2  # its last tokens: what comes next is no longer known


def test_an_answer_drawn_by_chance_goes_on_too(backend: MlxBackend, start: Start) -> None:
    request = asked(temperature=1.5, max_tokens=30)
    begun = answer(backend, request)[:10]

    rest = answer(start(), request, text_of(begun), tokens_of(begun))

    assert tokens_of(begun) + tokens_of(rest) == 30


# ---- Options


def test_a_seed_gives_the_same_answer_and_another_seed_another(backend: MlxBackend) -> None:
    def drawn(**options: Any) -> str:
        return text_of(answer(backend, asked(temperature=1.0, **options)))

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn() != drawn()


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}])
def test_only_the_likeliest_token_is_left_to_a_narrow_choice(
    backend: MlxBackend, narrow: dict[str, Any]
) -> None:
    greedy = text_of(answer(backend, asked()))

    assert text_of(answer(backend, asked(temperature=2.0, **narrow))) == greedy


def test_top_k_may_be_more_than_there_are_tokens(backend: MlxBackend) -> None:
    assert tokens_of(answer(backend, asked(temperature=1.0, top_k=10_000))) == 60


def test_a_bias_decides_what_is_said(backend: MlxBackend) -> None:
    the = tiny_safetensors.token_of("the")

    pieces = answer(backend, asked(logit_bias={str(the): 1000.0}, max_tokens=5))

    assert text_of(pieces) == "the" * 5
    assert (
        answer(backend, asked(logit_bias={str(tiny_safetensors.EOS): 1000.0}))[-1].finish_reason
        == "stop"
    )


def test_each_token_comes_with_its_probability_by_the_model_alone(backend: MlxBackend) -> None:
    pieces = answer(backend, asked(logprobs=3))
    found = [one for piece in pieces for one in piece.logprobs]

    assert [len(piece.logprobs) for piece in pieces] == [piece.tokens for piece in pieces]
    assert all(one.top[0].model_copy(update={"top": one.top}) == one for one in found)  # greedy
    assert all(0 >= a.logprob >= b.logprob for one in found for a, b in pairwise(one.top))
    # A token that is chosen in spite of the model keeps the probability that the model gave it.
    other = found[0].top[2]
    forced = answer(backend, asked(logprobs=0, logit_bias={str(other.id): 100.0}))
    assert forced[0].logprobs[0].logprob == pytest.approx(other.logprob, abs=1e-4)
    assert sum(math.exp(one.logprob) for one in found[0].top) <= 1.0


def test_a_character_of_several_tokens_comes_in_one_piece(backend: MlxBackend) -> None:
    run = Run(asked("日本", max_tokens=400), 400)

    for piece in backend.stream(run):
        assert piece.text.encode().decode() == piece.text
        assert piece.tokens >= 1


# ---- Prompts


def test_a_prompt_is_what_the_models_template_makes_of_it(backend: MlxBackend) -> None:
    turns = (ChatMessage(role="system", content="be brief"), ChatMessage(role="user", content="hi"))

    counted = backend.count_tokens(asked(messages=turns))

    # <s> <|system|> be brief <|end|> <|user|> hi <|end|> <|assistant|>
    assert counted == 6 + len(tiny_safetensors.tokens_of("be brief")) + len(
        tiny_safetensors.tokens_of("hi")
    )


def test_without_a_template_a_prompt_goes_in_as_it_is(tmp_path: Path, start: Start) -> None:
    bare = start(tiny_safetensors.write(tmp_path / "bare", chat_template=None))
    raw = start(chat_format="raw")

    for backend in (bare, raw):
        assert backend.count_tokens(asked("hi")) == len(tiny_safetensors.tokens_of("hi"))
        with pytest.raises(ApexError, match="no chat template"):
            backend.count_tokens(asked(messages=(ChatMessage(role="user", content="hi"),)))


def test_a_prompt_that_leaves_no_room_is_refused(start: Start) -> None:
    small = start(ctx_tokens=64)

    with pytest.raises(ContextTooLong) as caught:
        answer(small, asked("x" * 70))

    assert (caught.value.window, caught.value.retriable) == (64, False)
    most = answer(small, asked("x" * 20, max_tokens=500))
    assert most[-1].finish_reason == "length"
    assert small.count_tokens(asked("x" * 20)) + tokens_of(most) == 64


def test_the_window_is_the_models_where_that_is_smaller(start: Start) -> None:
    assert start(ctx_tokens=100_000).abilities.window == tiny_safetensors.TRAINED_CTX


def test_a_long_prompt_is_given_up_between_two_steps(start: Start) -> None:
    backend = start(n_batch=8)
    run = Run(asked("word " * 200), 5)
    run.stop.set()

    assert list(backend.stream(run)) == []
    assert backend.counters.read == 0


# ---- Sessions


def test_the_next_turn_of_a_session_reads_only_what_is_new(backend: MlxBackend) -> None:
    turn = asked(STORY, session_id="s1")
    first = answer(backend, turn)
    longer = asked(STORY + "b and c", session_id="s1")

    second = answer(backend, longer)

    assert first[0].cached_tokens == 0
    kept = second[0].cached_tokens
    assert kept >= backend.count_tokens(turn) - 3  # the template's end is no longer the same
    assert backend.counters.read == backend.count_tokens(longer) - kept


def test_a_session_is_kept_while_others_are_served(backend: MlxBackend) -> None:
    turn = asked(STORY, session_id="s1")
    before = text_of(answer(backend, turn))
    for number in range(5):
        answer(backend, asked("what else", session_id=f"other-{number}"))

    again = text_of(answer(backend, turn))

    assert again == before
    assert backend.counters.read == 1


@pytest.mark.parametrize(
    "other", [{"session_id": "s2"}, {"agent_id": "b"}, {"tenant": "acme"}, {"session_id": None}]
)
def test_no_other_session_finds_what_one_has_read(
    backend: MlxBackend, start: Start, other: dict[str, str]
) -> None:
    owner = {"agent_id": "a", "session_id": "s1", "tenant": "default"}
    answer(backend, asked(STORY, **owner))

    same_words = asked(STORY, **{**owner, **other})
    text = text_of(answer(backend, same_words))

    assert backend.counters.reused == 0
    assert text == text_of(answer(start(), same_words))


def test_interleaved_sessions_answer_as_if_each_were_alone(start: Start) -> None:
    requests = [
        asked(f"question {n % 7}", session_id=f"s{n % 5}", max_tokens=15) for n in range(14)
    ]
    shared = start()

    together = [text_of(answer(shared, one)) for one in requests]

    fresh = start(kept_states=0)
    alone = []
    for one in requests:
        answer(fresh, asked("empties the cache"))
        alone.append(text_of(answer(fresh, one)))
    assert together == alone


@pytest.mark.parametrize("bounds", [{"kept_states": 2}, {"kept_mib": 0}])
def test_kept_sessions_stay_within_their_bounds(start: Start, bounds: dict[str, int]) -> None:
    backend = start(**bounds)
    for number in range(4):
        answer(backend, asked(STORY, session_id=f"s{number}"))

    answer(backend, asked(STORY, session_id="s2"))
    assert (backend.counters.reused > 0) == ("kept_states" in bounds)
    answer(backend, asked(STORY, session_id="s0"))
    assert backend.counters.reused == 0


@pytest.mark.parametrize("named", ["s1", None])
def test_a_session_that_is_to_be_forgotten_is_read_anew(
    backend: MlxBackend, named: str | None
) -> None:
    for session in ("s1", "s2"):
        answer(backend, asked(STORY, session_id=session))

    backend.forget("default", named)

    answer(backend, asked(STORY, session_id="s1"))
    assert backend.counters.reused == 0
    answer(backend, asked(STORY, session_id="s2"))
    assert (backend.counters.reused > 0) == (named == "s1")


# ---- Loading


def refusal(model: Path | str | None, kind: type[ApexError], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        prepared(model, **options).load()
    assert is_one_sentence(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "contents", "kind", "said"),
    [
        ("config.json", None, InvalidSetting, "config.json"),
        ("config.json", b"{", InvalidSetting, "cannot be read"),
        ("config.json", b'{"model_type": "zebra"}', BackendError, "zebra"),
        ("model.safetensors", None, InvalidSetting, "safetensors"),
        ("model.safetensors", b"", BackendError, "could not be loaded"),
        ("model.safetensors", b"\0" * 5000, BackendError, "could not be loaded"),
        ("tokenizer.json", b"{}", BackendError, "could not be loaded"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path, name: str, contents: bytes | None, kind: type[ApexError], said: str
) -> None:
    folder = tiny_safetensors.write(tmp_path / "damaged")
    if contents is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(contents)

    assert said in refusal(folder, kind)


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path) -> None:
    folder = tiny_safetensors.write(tmp_path / "coded")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "code.py"}))
    (folder / "code.py").write_text("raise SystemExit('it ran')")

    assert "could not be loaded" in refusal(folder, BackendError)


def test_a_model_that_is_too_large_for_memory_is_refused_with_the_arithmetic(
    tmp_path: Path,
) -> None:
    folder = tiny_safetensors.write(tmp_path / "large")
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 43)  # a hole: it takes no room on the disk

    assert "needs 8796.1 GB" in refusal(folder, InvalidSetting)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_gpu_layers": 1}, "no option 'n_gpu_layers'; it has .*n_batch"),
        ({"n_batch": 0}, "n_batch"),
        ({"chat_format": "chatml"}, "chat_format"),
        ({"slots": 2}, "one job at a time"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_in_a_sentence(
    model: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said) as caught:
        prepared(model, **options)
    assert is_one_sentence(caught.value)


def test_an_adapter_changes_what_is_said(tmp_path: Path, start: Start) -> None:
    plain = text_of(answer(start(), asked()))
    folder = tmp_path / "adapter"

    adapted = start(adapter=str(tiny_safetensors.write_adapter(folder)))

    assert text_of(answer(adapted, asked())) != plain


def test_an_adapter_that_is_not_there_is_refused(model: Path, tmp_path: Path) -> None:
    assert "adapter" in refusal(model, BackendError, adapter=str(tmp_path / "nowhere"))


def test_a_model_must_be_named_and_be_there(tmp_path: Path) -> None:
    assert "set APEX_LLM_MODEL_ID" in refusal(None, InvalidSetting)
    assert "no folder" in refusal(tmp_path / "nowhere", InvalidSetting)


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr("workers.backends.mlx.backend.find_spec", lambda name: None)

    with pytest.raises(BackendMissing, match=r"pip install 'apexq\[mlx\]'"):
        prepared(model)


def test_the_library_is_not_imported_before_the_model_is_loaded(model: Path) -> None:
    script = f"""
import sys
from ledger.settings import load_settings
from workers.backends import create
table = {{"name": "inst0", "backend": "mlx", "model": {str(model)!r}}}
settings = load_settings(env={{}}, instances=[table])
create(settings.instances[0], settings)
print([name for name in ("mlx.core", "mlx_lm", "transformers", "numpy") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_it_is_silent_and_well_while_it_is_loaded(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = prepared(model)
    assert backend.health()
    backend.load()
    assert backend.health() == ""
    answer(backend, asked())
    backend.close()
    assert backend.health()

    assert capfd.readouterr() == ("", "")
