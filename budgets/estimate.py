"""How many tokens a request may cost at most, before any tokenizer has seen it.

Every token of a byte-level BPE (and of SentencePiece with byte fallback) stands for at least one
byte of text, so a text never has more tokens than bytes. A chat template adds its own: a frame
around each message, and once per request the first and the answer's opening tokens and at times a
system text of its own.

An image costs what its provider says; nearly all of them make it smaller first, so it has a most.

What the bound leaves out is met at the claim, where the model's own tokenizer counts: the history
of a session, and templates with a longer text of their own. The hold is topped up there, or the
job ends denied; so a budget holds even where this bound does not.
"""

from __future__ import annotations

import json

from ledger.messages import Request

# <|start_header_id|>assistant<|end_header_id|>\n\n … <|eot_id|> is 5, ChatML's frame too.
TOKENS_PER_MESSAGE = 8

# First token, answer's opening, and the system text that templates put in by themselves:
# Llama 3.1's dates take about 25, Qwen 2.5's sentence about 20.
TOKENS_PER_REQUEST = 64

# Most that an image is said to cost: 4,784 for Claude from Opus 4.7 on (28 x 28 pixels a token,
# 2,576 on the longer side; 1,568 before); with OpenAI 85 + 8 tiles of 170 for GPT-4o, 1,536 patches
# times 2.46 for GPT-4.1 nano. GPT-4o mini alone counts 2,833 + 5,667 a tile, which is met at the
# claim, or where the server tells its count (docs of both providers on vision, 2026).
TOKENS_PER_IMAGE = 5000


def prompt_tokens_bound(request: Request) -> int:
    """An upper bound of the prompt's tokens, without the session's history."""
    texts = list(request.texts)
    objects = [*(request.tools or ()), request.response_format, request.tool_choice]
    for message in request.messages or ():
        texts += filter(None, (message.name, message.tool_call_id))
        objects += message.tool_calls
    # Templates print objects indented and some escape what is not ASCII; so it is never longer.
    texts += [json.dumps(one, indent=4) for one in objects if one is not None]
    return (
        sum(len(text.encode()) for text in texts)
        + TOKENS_PER_MESSAGE * len(request.texts)
        + TOKENS_PER_IMAGE * len(request.images)
        + TOKENS_PER_REQUEST
    )


def likely_prompt_tokens(request: Request) -> int:
    """About how many tokens the prompt has, at four bytes each: for guesses at time only."""
    return prompt_tokens_bound(request) // 4


def hold_for(request: Request) -> int:
    """The tokens that are held when the request is submitted: prompt's bound and answer."""
    return prompt_tokens_bound(request) + request.max_tokens
