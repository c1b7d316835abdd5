"""Downloading a model onto the server, with a word on how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.backends.base import Say

if TYPE_CHECKING:
    from workers.backends.ollama.client import OllamaClient

GB = 1e9


async def pull(client: OllamaClient, model: str, say: Say) -> None:
    """Has the server download the model; what was downloaded before is not downloaded again.

    Raises:
        BackendError: it cannot; ModelNotFound: there is no such model.
    """
    before = ""
    async for line in client.lines("/api/pull", {"model": model, "stream": True}):
        status = str(line.get("status", ""))
        if status == "success":
            return
        total, completed = line.get("total"), line.get("completed") or 0
        share = f": {100 * completed / total:.0f} % of {total / GB:.2f} GB" if total else ""
        now = f"{model}: {status}{share}"
        if now != before:  # a line comes several times a second, a per cent does not
            say(now)
        before = now
