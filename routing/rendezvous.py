"""Weighted rendezvous hashing: every machine ranks the instances of an agent alike, without talk.

Each instance draws a number for the agent and the highest wins, so an instance that comes takes
its share from all others and one that goes leaves only its own agents homeless
(Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions
on Networking 6(1), 1998). The weighted form is the logarithmic method of Schindelhauer and
Schomaker, "Weighted distributed hash tables", SPAA 2005: with u uniform in (0, 1), -w / ln(u) is
highest with a probability of w over the sum of all w.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import xxhash


def score(agent_id: str, name: str, weight: float) -> float:
    """What the instance ``name`` draws for the agent; higher is better."""
    # Names of instances have no NUL, so two pairs never make the same bytes.
    drawn = xxhash.xxh3_64_intdigest(f"{name}\0{agent_id}".encode())
    # 52 bits and a half: exact in a double, and never 0 or 1.
    uniform = ((drawn >> 12) + 0.5) / 2**52
    return -weight / math.log(uniform)


def rank(agent_id: str, instances: Iterable[tuple[str, float]]) -> list[str]:
    """The names of ``instances`` (name, weight) for this agent, the best first."""
    drawn = [(-score(agent_id, name, weight), name) for name, weight in instances]
    return [name for _, name in sorted(drawn)]
