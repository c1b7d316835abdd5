"""Which processor a model runs on, in which numbers."""

from __future__ import annotations

from typing import Any

import torch

from ledger.errors import InvalidSetting
from ledger.settings import InstanceSpec, Settings
from workers.backends.hf.options import HfOptions


def device_of(spec: InstanceSpec, options: HfOptions, settings: Settings) -> torch.device:
    """The one that is named; otherwise the GPUs in turn, by the instance's place among its like.

    Raises:
        InvalidSetting: this machine does not have the one that is named.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.device is None:
        alike = [one.name for one in settings.instances if one.backend == spec.backend]
        place = alike.index(spec.name) if spec.name in alike else 0
        return torch.device("cuda", place % gpus) if gpus else torch.device("cpu")
    device = torch.device(options.device)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        there = (device.index or 0) < gpus
    else:
        there = device.type == "cpu" or torch.backends.mps.is_available()
    if not there:
        has = f"{gpus} GPUs for CUDA" if device.type == "cuda" else "no such GPU"
        raise InvalidSetting(f"{spec.name}: device {options.device}: this machine has {has}.")
    return device


def dtype_of(config: dict[str, Any], options: HfOptions, device: torch.device) -> torch.dtype:
    """What is computed in."""
    named: str = options.dtype
    if named == "auto":
        inner = config.get("text_config", {})
        named = config.get("dtype") or config.get("torch_dtype") or inner.get("dtype") or "float32"
        if named == "float32" and device.type == "cuda":
            named = "bfloat16"
    dtype = getattr(torch, str(named), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InvalidSetting(
            f"config.json: the dtype {named!r} is unknown; set dtype in the table."
        )
    return dtype
