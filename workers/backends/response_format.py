"""The request's ``response_format``, for servers that have forms of their own for it."""

from __future__ import annotations

from typing import Any, Literal

from ledger.errors import InvalidRequest
from ledger.messages import Request


def wanted_format(request: Request, backend: str) -> Literal["json"] | dict[str, Any] | None:
    """``json`` for any JSON object, a JSON schema, or None for text.

    Raises:
        InvalidRequest: it is none of these, in OpenAI's form.
    """
    given = request.response_format or {"type": "text"}
    match given.get("type"), given.get("json_schema"):
        case "text", _:
            return None
        case "json_object", _:
            return "json"
        case "json_schema", {"schema": dict() as schema}:
            return schema
    raise InvalidRequest(
        f'response_format: {backend} takes {{"type": "json_object"}} or '
        '{"type": "json_schema", "json_schema": {"schema": {…}}}.'
    )
