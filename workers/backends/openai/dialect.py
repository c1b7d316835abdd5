"""Kinds of OpenAI-compatible servers: what each takes beyond OpenAI's API, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from workers.backends.base import OPTIONS

OF_COMPLETIONS = frozenset(
    {"temperature", "top_p", "top_k", "stop", "seed", "logit_bias", "logprobs"}
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    ``lacks``: options that it does not have. ``most_tokens``: its name for the limit of an answer.
    ``continues``: it goes on from an assistant's unfinished message. ``counts_along``: it sends the
    tokens so far with each chunk. ``extended``: it takes a request's id, a salt for its prefix
    cache, and a priority. ``tokenizer``: how it is asked to count. ``defaults``: whether it is sent
    a temperature that the request does not give (some models of OpenAI's refuse any).
    """

    name: str
    lacks: frozenset[str] = frozenset()
    most_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    continues: bool = False
    counts_along: bool = False
    extended: bool = False
    tokenizer: Literal["", "vllm", "llama_cpp"] = ""
    defaults: bool = True

    def options(self, api: str) -> frozenset[str]:
        """The options of a request that it takes."""
        offered = frozenset(OPTIONS)
        if api == "completions":
            offered = OF_COMPLETIONS | ({"response_format"} if self.extended else frozenset())
        return offered - self.lacks


OPENAI = Dialect(
    "openai",
    lacks=frozenset({"top_k"}),
    most_tokens="max_completion_tokens",
    defaults=False,
)
VLLM = Dialect("vllm", continues=True, counts_along=True, extended=True, tokenizer="vllm")
LLAMA_CPP = Dialect("llama_cpp", tokenizer="llama_cpp")
LMSTUDIO = Dialect("lmstudio")
OTHER = Dialect("other")

DIALECTS = {each.name: each for each in (OPENAI, VLLM, LLAMA_CPP, LMSTUDIO, OTHER)}
OWNERS = {"vllm": VLLM, "me": LLAMA_CPP, "organization_owner": LMSTUDIO}


def of_url(url: str) -> Dialect | None:
    """OpenAI's own servers are known by their name, others have to be asked."""
    return OPENAI if (urlsplit(url).hostname or "").endswith("api.openai.com") else None


def of_models(models: Iterable[Mapping[str, Any]]) -> Dialect:
    """The kind of server that lists these models: some say there who they are."""
    owners = (str(one.get("owned_by")) for one in models)
    return OWNERS.get(next(owners, ""), OTHER)
