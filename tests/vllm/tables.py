"""An instance on vLLM's servers, and what is asked of it."""

from __future__ import annotations

import json
from typing import Any

from tests.support.vllm_server import NAME

ENDLESS = {"ignore_eos": True}  # a random model would end when it likes


def table(name: str, *urls: str, **options: Any) -> dict[str, str]:
    """The environment of a worker of one instance."""
    spec = {
        "name": name,
        "backend": "vllm",
        "model": NAME,
        "endpoints": urls,
        "extra_body": ENDLESS,
        **options,
    }
    return {"APEX_LLM_INSTANCES": json.dumps([spec])}


def asked(number: int, max_tokens: int) -> dict[str, Any]:
    """A request of an agent of its own."""
    return {
        "prompt": f"the story of number {number}",
        "agent_id": f"agent-{number}",
        "max_tokens": max_tokens,
        "temperature": 0,
        "cache": False,
    }
