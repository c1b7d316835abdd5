"""A KV cache in which a step can be broken off between two layers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import DynamicCache


class Stopped(Exception):
    """The step that was under way is not wanted any more."""


class HfCache(DynamicCache):
    """Each layer of a model hands its keys and values to its cache, so that is where to look."""

    _stop: threading.Event | None = None

    @contextmanager
    def heeding(self, stop: threading.Event) -> Iterator[None]:
        """While it lasts, a layer that comes after ``stop`` is set meets :class:`Stopped`."""
        self._stop = stop
        try:
            yield
        finally:
            self._stop = None

    def update(self, *args: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes a layer's keys and values of the tokens that are read.

        Raises:
            Stopped: these are not wanted any more.
        """
        if self._stop is not None and self._stop.is_set():
            raise Stopped
        taken: tuple[torch.Tensor, torch.Tensor] = super().update(*args, **options)
        return taken

    def cut(self, length: int) -> bool:
        """Leaves the first ``length`` tokens, also where only some layers have more. False if a
        layer cannot do that, as a recurrent one or a window of attention that has moved on; the
        cache is broken then.
        """
        if not self.is_croppable:
            return False
        try:
            for layer in self.layers:
                has = getattr(layer, "get_seq_length", None)  # those that do not know try it
                beyond = 1 if has is None else has() - length
                if beyond > 0:
                    layer.crop(-beyond)
        except RuntimeError:
            return False
        return True

    @property
    def size(self) -> int:
        """Bytes of memory that it holds."""
        storages = (one.untyped_storage() for one in self._tensors())
        return sum({one.data_ptr(): one.nbytes() for one in storages}.values())

    def to_memory(self) -> None:
        """Leaves the GPU for the machine's memory."""
        for layer in self.layers:
            layer.offload()

    def to_device(self) -> None:
        """Goes back to where it was."""
        for layer in self.layers:
            layer.prefetch()

    def _tensors(self) -> Iterator[torch.Tensor]:
        for layer in self.layers:
            for value in vars(layer).values():
                parts = value.values() if isinstance(value, dict) else (value,)
                yield from (part for part in parts if isinstance(part, torch.Tensor))
