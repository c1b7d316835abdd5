"""What a prompt may tell the mock to do: ``[[mock tokens=50 tps=200 crash_at=10]]``."""

from __future__ import annotations

import re
import shlex

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ledger.errors import BackendError
from ledger.messages import sentence

_DIRECTIVE = re.compile(r"\[\[mock\s+(.*?)\]\]", re.DOTALL)


class Directives(BaseModel):
    """What to do. Token numbers count from 0.

    ``tokens`` to emit, ``tps`` tokens per second, ``first_ms`` until the first; at that token:
    ``crash_at`` kills the own process (in the first ``crashes`` attempts), ``hang_at`` stops
    emitting (in the first ``hangs`` attempts; without it in all), ``error_at`` raises (in the first
    ``errors`` attempts, and those may be tried again, after ``retry_after_s``); ``say`` is the text
    of the answer; ``eat_mb`` takes that much memory before the first token. ``limits`` is how often
    the process refuses the job as a provider does that takes no more requests for
    ``retry_after_s``; an instance of the model ``unknown_to`` says that it does not have it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tokens: int | None = Field(default=None, ge=0)
    tps: float = Field(default=0, ge=0)
    first_ms: float = Field(default=0, ge=0)
    crash_at: int | None = None
    crashes: int = 1
    hang_at: int | None = None
    hangs: int | None = None
    error_at: int | None = None
    errors: int | None = None
    retry_after_s: float | None = None
    limits: int = Field(default=0, ge=0)
    unknown_to: str | None = None
    say: str | None = None
    eat_mb: int | None = Field(default=None, ge=1)


def parse(text: str) -> Directives:
    """The directives in ``text``; the defaults when there are none.

    Raises:
        BackendError: a directive that does not exist or has a bad value.
    """
    found = _DIRECTIVE.search(text)
    if found is None:
        return Directives()
    try:
        pairs = dict(part.split("=", 1) for part in shlex.split(found[1]))
        return Directives.model_validate(pairs)
    except ValidationError as error:
        complaint = sentence(error)
    except ValueError as error:
        complaint = str(error)
    raise BackendError(f"Bad mock directive: {complaint}", backend="mock", retriable=False)
