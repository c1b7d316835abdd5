"""Where a job goes."""

from ledger.priority import Priority
from routing.priority import celery_priority, from_celery, parse
from routing.registry import Entry, Registry, read_registry
from routing.rendezvous import rank
from routing.roles import ROLES, pinned
from routing.route import choose, order

__all__ = [
    "ROLES",
    "Entry",
    "Priority",
    "Registry",
    "celery_priority",
    "choose",
    "from_celery",
    "order",
    "parse",
    "pinned",
    "rank",
    "read_registry",
]
