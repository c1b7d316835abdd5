"""Arguments of calls that are no part of a request, checked before anything is sent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ledger.errors import InvalidRequest
from ledger.messages import Id, sentence

LARGEST = 2**53 - 1  # what a Lua number holds exactly
YEAR_S = 365 * 86_400

IDENTIFIER: TypeAdapter[str] = TypeAdapter(Annotated[Id, Field(strict=True)])
KEY: TypeAdapter[str] = TypeAdapter(
    Annotated[str, Field(strict=True, min_length=1, max_length=500)]
)
TOKENS: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(strict=True, ge=1, le=LARGEST)])
CURSOR: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(strict=True, ge=0, le=LARGEST)])
SECONDS: TypeAdapter[float] = TypeAdapter(
    Annotated[float, Field(gt=0, le=YEAR_S, allow_inf_nan=False)]
)


def check(name: str, value: Any, kind: TypeAdapter[Any]) -> None:
    """Refuses a ``value`` that is not of its kind.

    Raises:
        InvalidRequest: one sentence that names the argument and what it takes.
    """
    try:
        kind.validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(f"{name}: {sentence(error)}") from None
