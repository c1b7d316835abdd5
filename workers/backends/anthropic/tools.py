"""Tools, and the choice of one, in the form of Anthropic's Messages API."""

from __future__ import annotations

from typing import Any

from ledger.errors import InvalidRequest
from ledger.messages import Request
from workers.backends.response_format import wanted_format

# Stands in for response_format json_object, which the API does not have: a tool that must be
# called, and takes any object.
JSON_TOOL: dict[str, Any] = {
    "name": "json",
    "description": "Gives the answer as a JSON object.",
    "input_schema": {"type": "object"},
}


def wants_any_json(request: Request) -> bool:
    """Whether the answer is what :data:`JSON_TOOL` is called with."""
    return wanted_format(request, "anthropic") == "json"


def tools_of(request: Request) -> dict[str, Any]:
    """The API's ``tools`` and ``tool_choice``, as far as there are any.

    Raises:
        InvalidRequest: one has a form that the API does not have.
    """
    if wants_any_json(request):
        return {"tools": [JSON_TOOL], "tool_choice": {"type": "tool", "name": "json"}}
    choice = request.tool_choice
    if not request.tools:
        if choice not in (None, "auto", "none"):  # these say nothing where there is no tool
            raise InvalidRequest("tool_choice: there are no tools to choose from.")
        return {}
    tools = {"tools": [_tool(tool) for tool in request.tools]}
    return tools if choice is None else {**tools, "tool_choice": _choice(choice)}


def _tool(given: dict[str, Any]) -> dict[str, Any]:
    function = given.get("function")
    if given.get("type") != "function" or not isinstance(function, dict):
        raise InvalidRequest('tools: anthropic takes {"type": "function", "function": {…}}.')
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    tool = {"name": function.get("name"), "input_schema": schema}
    same = {name: function[name] for name in ("description", "strict") if function.get(name)}
    return tool | same


def _choice(choice: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(choice, str):
        return {"type": {"required": "any"}.get(choice, choice)}
    name = (choice.get("function") or {}).get("name")
    if choice.get("type") != "function" or not name:
        raise InvalidRequest('tool_choice: it takes {"type": "function", "function": {"name": …}}.')
    return {"type": "tool", "name": name}
