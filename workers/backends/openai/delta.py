"""What a chunk of OpenAI's streams adds to an answer, chat or completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger.messages import TokenLogprob
from workers.backends.servers.logprob import logprob_of, logprobs_of

Json = dict[str, Any]

# vLLM and OpenRouter call it the one, DeepSeek and LM Studio the other.
REASONING = ("reasoning", "reasoning_content")


@dataclass(frozen=True, slots=True)
class Delta:
    """What one chunk adds, whichever API it comes from. ``reasoning_name``: what its server calls
    the model's thoughts, if it speaks of them at all.
    """

    text: str = ""
    reasoning: str = ""
    reasoning_name: str = ""
    refusal: str = ""
    tool_calls: tuple[Json, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str | None = None

    @property
    def says_something(self) -> bool:
        """Whether it stands for a token at least."""
        return bool(self.text or self.reasoning or self.tool_calls)


def delta_of(choice: Json, top: int | None) -> Delta:
    """What a chunk's choice says, in either API; ``top``: alternatives of each token, where they
    were asked for.
    """
    finish, logprobs = choice.get("finish_reason"), choice.get("logprobs") or {}
    said = choice.get("delta")
    if said is None:
        return Delta(
            text=choice.get("text") or "",
            logprobs=() if top is None else _of_completions(logprobs, top),
            finish_reason=finish,
        )
    names = [one for one in REASONING if said.get(one) is not None]
    name = next((one for one in names if said[one]), names[0] if names else "")
    return Delta(
        text=said.get("content") or "",
        reasoning=said[name] if name else "",
        reasoning_name=name,
        refusal=said.get("refusal") or "",
        tool_calls=tuple(said.get("tool_calls") or ()),
        logprobs=() if top is None else logprobs_of(logprobs.get("content"), top),
        finish_reason=finish,
    )


def _of_completions(logprobs: Json, top: int) -> tuple[TokenLogprob, ...]:
    texts = logprobs.get("tokens") or ()
    likely = logprobs.get("top_logprobs") or [{}] * len(texts)
    places = zip(texts, logprobs.get("token_logprobs") or (), likely, strict=False)
    return tuple(logprob_of(text, value, (best or {}).items(), top) for text, value, best in places)
