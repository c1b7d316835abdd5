"""One file per kind of model behind one small contract."""

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
