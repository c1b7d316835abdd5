"""A loaded model with all that belongs to it; the backend imports it late.

The engine is driven step by step in this process, by ``LLMEngine``. ``AsyncLLM`` is the same engine
in a process of its own: it would outlive this one when that is killed, with the GPU's memory.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

from transformers import AutoTokenizer
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.exceptions import VLLMClientError
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.llm_engine import LLMEngine

from ledger.errors import BackendError, InvalidRequest
from ledger.messages import Request, TokenLogprob
from ledger.settings import Settings
from workers.backends.base import LEAST_LOGPROB, Piece, Run
from workers.backends.local.choice import choice_of
from workers.backends.local.first_line import first_line
from workers.backends.local.folder import name_of
from workers.backends.local.prompt import Prompter, require_room
from workers.backends.local.renderer import renderer
from workers.backends.local.text import Ready, Text
from workers.backends.local.vocabulary import Vocabulary, ends_of
from workers.backends.response_format import wanted_format
from workers.backends.vllm_engine.options import VllmEngineOptions

log = logging.getLogger(__name__)

NAME = "vllm_engine"


class VllmModel:
    """Answers one run at a time."""

    def __init__(
        self, folder: Path, options: VllmEngineOptions, settings: Settings, *, window: int
    ) -> None:
        """Loads it.

        Raises:
            BackendError: vLLM could not, or its tokenizer or chat template cannot be used.
        """
        self._settings, self._window = settings, window
        tokenizer, self._engine = _load(folder, options.engine, window)
        config = self._engine.model_config
        render = renderer(tokenizer, options.chat_format, backend=NAME)
        self._prompter = Prompter(render)
        ends = config.try_get_generation_config().get("eos_token_id")
        self._n_vocab = int(config.hf_config.get_text_config().vocab_size)
        self._vocabulary = Vocabulary(
            tokenizer,
            ends=ends_of(ends, tokenizer),
            templated=render is not None,
            backend=NAME,
        )

    def prompt(self, request: Request) -> list[int]:
        """The request's tokens.

        Raises:
            InvalidRequest: there is no way to put the request to this model.
        """
        return self._vocabulary.tokenize(self._prompter.text(request), special=True)

    def stream(self, run: Run) -> Iterator[Piece]:
        """The answer's pieces.

        Raises:
            InvalidRequest: an option cannot be used, or the prompt is empty.
            ContextTooLong: the prompt leaves no room for an answer.
        """
        prompt = self.prompt(run.request)
        require_room(prompt, self._window, backend=NAME)
        context = prompt + self._vocabulary.tokenize(run.continue_from, special=False)
        most = min(run.max_tokens, self._window - len(context))
        if most < 1:
            yield Piece("", 0, "length")
            return
        if not run.stop.is_set():
            yield from self._answer(run, context, self._params(run.request, most), len(prompt))

    def forget(self, tenant: str, session_id: str | None) -> None:
        """Empties the prefix cache, whosever it is."""
        self._engine.reset_prefix_cache()

    def close(self) -> None:
        """Gives the memory back."""
        self._engine.engine_core.shutdown()

    def _answer(
        self, run: Run, context: list[int], params: SamplingParams, prompt_length: int
    ) -> Iterator[Piece]:
        text = Text(run.request.stop, run.continue_from)
        logprobs: list[TokenLogprob] = []
        cached: int | None = None  # until the first piece is out
        # Blocks of the cache are found by whoever has the same salt.
        prompt = {"prompt_token_ids": context, "cache_salt": run.request.tenant}
        try:
            inner = self._engine.add_request(f"{run.job_id}-{run.attempt}", prompt, params)
        except (ValueError, VLLMClientError) as error:
            raise _refused(error) from None
        try:
            for found in self._steps(run):
                made = found.outputs[0]
                logprobs += self._logprobs(made, run.request.logprobs)
                if cached is None:
                    cached = min(found.num_cached_tokens or 0, prompt_length)
                ready, end = self._push(text, made)
                if ready.tokens or end:
                    these, logprobs = logprobs[: ready.tokens], logprobs[ready.tokens :]
                    yield Piece(ready.text, ready.tokens, end, tuple(these), cached)
                    cached = 0
                if end:
                    return
        finally:
            self._engine.abort_request([inner], internal=True)

    def _steps(self, run: Run) -> Iterator[Any]:
        """What the engine makes, step by step; a long prompt takes several. Where it fails it can
        do nothing more: the process ends, and the job gets its next attempt in another one.
        """
        while self._engine.has_unfinished_requests() and not run.stop.is_set():
            try:
                found = self._engine.step()
            except VLLMClientError as error:
                raise _refused(error) from None
            except Exception as error:  # noqa: BLE001  whatever the engine raises
                # It may have lost its GPU or its place: nothing that it says can be trusted.
                log.critical("vLLM's engine reports: %r; this process ends.", first_line(error))
                os.kill(os.getpid(), signal.SIGKILL)
            if not run.stop.is_set():
                yield from found

    def _push(self, text: Text, made: Any) -> tuple[Ready, Literal["stop", "length"] | None]:
        """What may go out after these tokens, and whether they end the answer."""
        out, tokens = "", 0
        for token in made.token_ids:
            if self._vocabulary.ends(token):
                break
            ready = text.push(self._vocabulary.piece(token))
            out, tokens = out + ready.text, tokens + ready.tokens
            if ready.stopped:
                return Ready(out, tokens, stopped=True), "stop"
        if made.finish_reason is None:
            return Ready(out, tokens), None
        rest = text.flush()
        end: Literal["stop", "length"] = "length" if made.finish_reason == "length" else "stop"
        return Ready(out + rest.text, tokens + rest.tokens), end

    def _params(self, request: Request, most: int) -> SamplingParams:
        choice = choice_of(request, self._settings, self._n_vocab)
        wanted = wanted_format(request, NAME)
        held = None
        if wanted is not None:
            held = StructuredOutputsParams(
                **({"json_object": True} if wanted == "json" else {"json": wanted})
            )
        return SamplingParams(
            temperature=choice.temperature,
            top_p=choice.top_p,
            top_k=choice.top_k,
            seed=choice.seed % 2**63,
            logit_bias=choice.bias or None,
            logprobs=request.logprobs,
            max_tokens=most,
            structured_outputs=held,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )

    def _logprobs(self, made: Any, alternatives: int | None) -> Iterator[TokenLogprob]:
        if alternatives is None:
            return
        for token, row in zip(made.token_ids, made.logprobs, strict=True):
            if self._vocabulary.ends(token):
                return
            # The chosen token is there too, also where it is none of the likeliest.
            ranked = sorted(row, key=lambda one: row[one].rank)[:alternatives]
            top = tuple(self._entry(one, row[one].logprob) for one in ranked)
            own = self._entry(token, row[token].logprob)
            yield own.model_copy(update={"top": top})

    def _entry(self, token: int, logprob: float) -> TokenLogprob:
        text = self._vocabulary.piece(token).decode(errors="replace")
        return TokenLogprob(id=token, text=text, logprob=max(LEAST_LOGPROB, logprob))


def _refused(error: Exception) -> InvalidRequest:
    said = first_line(error)
    return InvalidRequest(f"vLLM does not take the request: {said}.", said=said)


def _load(folder: Path, engine: dict[str, Any], window: int) -> tuple[Any, LLMEngine]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        arguments = EngineArgs(
            **engine,
            model=str(folder),
            max_model_len=window,
            max_num_seqs=1,
            trust_remote_code=False,
            disable_log_stats=True,
        )
        return tokenizer, LLMEngine.from_engine_args(arguments)
    except Exception as error:
        raise BackendError(
            f"{name_of(folder)} could not be loaded: {first_line(error)}.",
            backend=NAME,
            retriable=False,
        ) from error
