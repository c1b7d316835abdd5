"""A loaded model with all that belongs to it; the backend imports it late."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from budgets import hf_config, machine
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Piece, Run, Say
from workers.backends.hf.device import device_of, dtype_of
from workers.backends.hf.engine import HfEngine
from workers.backends.hf.load import add_adapters, load_model, load_tokenizer
from workers.backends.hf.options import HfOptions, Quantization
from workers.backends.hf.sampler import HfSampler
from workers.backends.local.choice import Choice
from workers.backends.local.first_line import first_line
from workers.backends.local.folder import name_of
from workers.backends.local.memory import refuse_if_too_large
from workers.backends.local.model import LocalModel
from workers.backends.local.prompt import Prompter
from workers.backends.local.renderer import renderer
from workers.backends.local.threads import threads

if TYPE_CHECKING:
    from workers.backends.local.grammar import Grammars

log = logging.getLogger(__name__)


class HfModel(LocalModel):
    """A model on transformers."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        spec: InstanceSpec,
        options: HfOptions,
        settings: Settings,
        *,
        window: int,
        adapters: Sequence[Path],
        say: Say,
    ) -> None:
        """Loads it.

        Args:
            folder: its files.
            config: what its ``config.json`` says.
            spec, options, settings: of the instance.
            window: tokens of prompt and answer together, at most.
            adapters: folders of LoRA adapters.
            say: is told what is going on.

        Raises:
            InvalidSetting: it does not fit, or may not be loaded.
            BackendError: it could not be loaded, or its chat template cannot be used.
        """
        torch.set_num_threads(threads(options.n_threads, spec.backend, settings))
        device = device_of(spec, options, settings)
        dtype = dtype_of(config, options, device)
        quantization = options.quantization or ("nf4" if device.type == "cuda" else "none")
        if settings.memory_check:
            _refuse_if_too_large(folder, quantization, device, dtype, window)
        tokenizer = load_tokenizer(folder)
        render = renderer(tokenizer, options.chat_format, backend="hf")
        model = load_model(
            folder, config, quantization=quantization, dtype=dtype, device=device, say=say
        )
        add_adapters(model, adapters)
        self._device = device
        engine = HfEngine(
            model,
            tokenizer,
            n_ctx=window,
            n_batch=options.n_batch,
            templated=render is not None,
        )
        self._grammars = _grammars(tokenizer, engine)
        super().__init__(
            engine,
            Prompter(render),
            self._sampler,
            options,
            settings,
            backend="hf",
            window=window,
        )

    def stream(self, run: Run) -> Iterator[Piece]:
        """The answer's pieces. Where the GPU reports an error the process can do nothing more on
        it: it ends, and its job gets the next attempt in another one.
        """
        try:
            yield from super().stream(run)
        except torch.AcceleratorError as error:
            log.critical("The GPU reports: %s; this process ends.", first_line(error))
            os.kill(os.getpid(), signal.SIGKILL)

    def _sampler(self, request: Request, choice: Choice) -> AbstractContextManager[HfSampler]:
        grammars = self._grammars
        grammar = None if grammars is None else grammars.of(request.response_format)
        return nullcontext(HfSampler(choice, self._device, grammar))


def _refuse_if_too_large(
    folder: Path,
    quantization: Quantization,
    device: torch.device,
    dtype: torch.dtype,
    window: int,
) -> None:
    need = hf_config.read(folder, quantization=quantization)
    if need is None:
        return
    on_cuda = device.type == "cuda"
    refuse_if_too_large(
        name_of(folder),
        weight_bytes=need.weight_bytes,
        kv_bytes_per_token=need.kv_bytes_per_token * dtype.itemsize / 2,
        ctx_tokens=window,
        available=torch.cuda.mem_get_info(device)[0] if on_cuda else machine.available_bytes(),
    )


def _grammars(tokenizer: Any, engine: HfEngine) -> Grammars | None:
    """None where their library is missing; then the backend lacks ``response_format``."""
    if find_spec("llguidance") is None:
        return None
    from workers.backends.local.grammar import Grammars

    return Grammars(tokenizer, n_vocab=engine.n_vocab, ends=engine.end_tokens, backend="hf")
