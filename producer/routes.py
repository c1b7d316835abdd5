"""Where requests go, by a registry of instances that is a second old at most."""

from __future__ import annotations

import time
from collections.abc import Sequence

import budgets
import routing
from ledger.instances import Descriptor
from ledger.messages import Request
from ledger.settings import Settings
from ledger.steps import Steps
from routing.affinity import Waits, place

FRESH_S = 1.0


class Routes:
    """Keeps the registry, and what was chosen by it, for a second."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry: routing.Registry | None = None
        self._read_at = 0.0
        self._orders: dict[tuple[str, str | None, str | None], Sequence[str]] = {}
        self._waits: Waits | None = None  # None: they do not matter

    @property
    def count(self) -> str:
        """Which registry this is, for the ledger to compare."""
        return self._registry.routes if self._registry else ""

    def refresh(self) -> Steps[None]:
        """Reads the registry, unless that was done just now."""
        now = time.monotonic()
        if self._registry is None or now - self._read_at > FRESH_S:
            registry: routing.Registry = yield routing.read_registry()
            self._registry, self._read_at = registry, now
            self._orders.clear()
            self._waits = Waits(registry) if self._settings.affinity == "bounded" else None

    def forget(self) -> None:
        """What was known of the instances is out of date."""
        self._registry = None

    def home_of(self, request: Request) -> Descriptor:
        """The agent's own instance, whether or not it gets the request.

        Raises:
            NoInstance, UnknownModel
        """
        name = self._order_of(request)[0]
        assert self._registry is not None
        entries = self._registry.entries
        return next(entry.descriptor for entry in entries if entry.name == name)

    def instance_for(self, request: Request) -> str:
        """The instance that gets the request; :meth:`refresh` came before.

        Raises:
            NoInstance, UnknownModel
        """
        order = self._order_of(request)
        # A turn must not overtake the one before it, which may wait at home.
        if self._waits is None or request.history:
            return order[0]
        reread_s = budgets.likely_prompt_tokens(request) / self._settings.prefill_tokens_per_s
        chosen = place(order, self._waits.seconds(), reread_s)
        self._waits.sent(chosen)
        return chosen

    def _order_of(self, request: Request) -> Sequence[str]:
        asked = (request.agent_id, request.model, request.instance)
        order = self._orders.get(asked)
        if order is None:
            assert self._registry is not None
            agent_id, model, only = asked
            absent_s = self._settings.absent_s
            order = routing.order(self._registry, agent_id, model, absent_s, only)
            self._orders[asked] = order
        return order
