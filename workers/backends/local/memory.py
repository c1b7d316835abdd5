"""Whether a model and its context fit into memory, asked before they are loaded."""

from __future__ import annotations

from ledger.errors import InvalidSetting

GB = 1e9


def refuse_if_too_large(
    name: str,
    *,
    weight_bytes: int,
    kv_bytes_per_token: float,
    ctx_tokens: int,
    available: int | None,
) -> None:
    """Compares weights + KV cache with the memory that is left.

    Args:
        name: the model's, for the sentence.
        weight_bytes: size of its weights as they are loaded.
        kv_bytes_per_token: what a token of context takes.
        ctx_tokens: length of the context.
        available: bytes of memory, None if that is not known.

    Raises:
        InvalidSetting: they do not fit; the sentence has the arithmetic.
    """
    kv_bytes = kv_bytes_per_token * ctx_tokens
    if available is None or weight_bytes + kv_bytes <= available:
        return
    raise InvalidSetting(
        f"{name} needs {(weight_bytes + kv_bytes) / GB:.1f} GB "
        f"(weights {weight_bytes / GB:.1f} + {ctx_tokens} tokens of context {kv_bytes / GB:.1f}) "
        f"and {available / GB:.1f} GB of memory are left; "
        "take a smaller model or quantisation, or lower APEX_LLM_CTX_TOKENS "
        "(or go on all the same, with APEX_MEMORY_CHECK=0)."
    )
