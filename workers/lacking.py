"""What a request asks for and its backend does not have."""

from __future__ import annotations

from ledger.errors import InvalidRequest
from ledger.messages import Request
from workers.backends import OPTIONS
from workers.place import Place


def refuse_what_it_lacks(place: Place, request: Request) -> None:
    """Refuses a request that the backend cannot serve as it stands.

    Raises:
        InvalidRequest: it names the first option, or images or messages.
    """
    abilities = place.backend.abilities
    given = {name for name in OPTIONS if getattr(request, name) not in (None, ())}
    lacking = sorted(given - abilities.options)
    if request.images and not abilities.images:
        lacking.append("images")
    if (request.messages is not None or request.history) and not abilities.chat:
        lacking.append("messages")
    if lacking:
        raise InvalidRequest(
            f"The backend {place.spec.backend} does not have {lacking[0]}; leave it out or "
            "route the request to a model whose backend has it."
        )
