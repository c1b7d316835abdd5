"""Models behind one small contract: a folder for each library or API."""

from workers.backends.base import OPTIONS, WARM_UP, Abilities, Backend, Estimate, Piece, Run
from workers.backends.table import create, known

__all__ = [
    "OPTIONS",
    "WARM_UP",
    "Abilities",
    "Backend",
    "Estimate",
    "Piece",
    "Run",
    "create",
    "known",
]
