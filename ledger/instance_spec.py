"""What the settings say of one instance: its name, which is its queue, and its backend."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

MOST = 10_000

# Celery's and kombu's own keys lie beside the queues in Redis; a queue must not be one of them.
FOREIGN_PREFIXES = ("_kombu.", "unacked")

# Those that apexq brings; third parties add theirs by an entry point.
BACKENDS = (
    "anthropic",
    "hf",
    "llama_cpp",
    "lmstudio",
    "mlx",
    "mock",
    "ollama",
    "openai",
    "remote",
    "vllm",
    "vllm_engine",
)
BACKEND_ALIASES = {"llama_cpp_metal": "llama_cpp", "hf_cuda": "hf"}


def _as_queue(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        raise ValueError(f"{name!r} may have letters, digits, '_', '-' and '.' only, at most 100")
    if name.startswith(FOREIGN_PREFIXES):
        raise ValueError(f"{name!r} is a name that Celery uses itself; choose another one")
    return name


def by_its_one_name(backend: str) -> str:
    """A backend's name, in small letters, where it has two."""
    return BACKEND_ALIASES.get(backend.lower(), backend.lower())


def _json_only(options: dict[str, Any]) -> dict[str, Any]:
    """Options travel to a worker process as JSON, so they are what JSON makes of them."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"only what JSON knows can be a backend's option ({error})") from None
    return plain


InstanceName = Annotated[str, AfterValidator(_as_queue)]
BackendName = Annotated[str, StringConstraints(min_length=1), AfterValidator(by_its_one_name)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class InstanceSpec(BaseModel):
    """One instance. Keys of its table that are not fields here are its backend's ``options``.

    ``slots`` is how many jobs run at once, ``roles`` are agent ids that belong to this instance,
    ``weight`` is its share of the other agents.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True
    )

    name: InstanceName
    backend: BackendName
    model: ModelName | None = None
    slots: int = Field(default=1, ge=1, le=1000, strict=True)
    roles: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    weight: float = Field(default=1.0, gt=0, le=1e6, strict=True)
    # Not shown: there may be a key for an API among them.
    options: Annotated[dict[str, Any], AfterValidator(_json_only)] = Field(
        default_factory=dict, repr=False
    )

    @model_validator(mode="before")
    @classmethod
    def _the_rest_is_options(cls, table: object) -> object:
        if not isinstance(table, dict):
            return table
        rest = {key: value for key, value in table.items() if key not in cls.model_fields}
        own = {key: value for key, value in table.items() if key in cls.model_fields}
        options = own.get("options", {})
        return {**own, "options": {**options, **rest} if isinstance(options, dict) else options}

    @property
    def served_model(self) -> str:
        """The model's name for routing and reports; the backend's where it has none."""
        return self.model or self.backend

    def stubbed(self) -> InstanceSpec:
        """This instance with the mock backend, which has none of the other's options, and with its
        model's name, so that requests and chains find that.
        """
        if self.backend == "mock":
            return self
        return self.model_copy(
            update={"backend": "mock", "model": self.served_model, "options": {}}
        )


def names_gguf(model: object) -> bool:
    """Whether this is a GGUF file: a path, or ``hf:org/repo:file.gguf``."""
    return str(model).startswith("hf:") or str(model).endswith(".gguf")


def default_backend(stub: bool | None, gguf_model_path: Path | None, model: str | None) -> str:
    """The backend where none is named: a GGUF file says enough."""
    return "llama_cpp" if (gguf_model_path or names_gguf(model)) and not stub else "mock"


def default_instances(
    count: int, backend: str | None, model: str | None
) -> tuple[InstanceSpec, ...]:
    """``inst0`` to ``inst{count - 1}``, all alike."""
    return tuple(
        InstanceSpec(name=f"inst{number}", backend=backend or "mock", model=model)
        for number in range(count)
    )


def expand(value: object, backend: str | None, model: str | None) -> object:
    """Turns what may be given for ``instances`` into a sequence of specs or tables.

    Args:
        value: a number of like instances, a sequence of specs or tables, or either as text.
        backend: of tables that name none.
        model: of tables that name none.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST:
        return default_instances(value, backend, model)
    if isinstance(value, list | tuple) and value:
        return [
            {"backend": backend or "mock", "model": model, **one} if isinstance(one, dict) else one
            for one in value
        ]
    raise ValueError(f"takes a number from 1 to {MOST}, or a list of [[instances]] tables")
