"""What an instance's table in ``apexq.toml`` may say to its backend."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from ledger.errors import InvalidSetting
from ledger.messages import sentence
from ledger.settings import InstanceSpec


def _http(url: str) -> str:
    if not _names_a_server(url):
        raise ValueError("takes a URL such as http://localhost:8000/v1")
    return url.rstrip("/")


def _names_a_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = url.startswith(("http://", "https://"))  # urlsplit passes over blanks before it
        return named and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its words quote what may be a part of a password
        return False


Url = Annotated[str, AfterValidator(_http)]


def leaving_out(*ours: str) -> AfterValidator:
    """For a table that goes to a library or server as it is: what apexq sets itself is refused."""

    def check(table: dict[str, Any]) -> dict[str, Any]:
        for name in ours:
            if name in table:
                raise ValueError(f"{name} is set by apexq; leave it out")
        return table

    return AfterValidator(check)


class BackendOptions(BaseModel):
    """A backend's own settings: what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


T = TypeVar("T", bound=BackendOptions)


def parse(spec: InstanceSpec, kind: type[T]) -> T:
    """The instance's options.

    Raises:
        InvalidSetting: one is unknown or has a bad value.
    """
    known = kind.model_fields.keys()
    for name in spec.options:
        if name not in known:
            raise InvalidSetting(
                f"{spec.name}: the backend {spec.backend} has no option {name!r}; "
                f"it has {', '.join(known)}."
            )
    try:
        # As JSON, which has lists where Python has tuples.
        return kind.model_validate_json(json.dumps(spec.options))
    except ValidationError as error:
        raise InvalidSetting(f"{spec.name}: {sentence(error)}") from None
