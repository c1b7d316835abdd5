"""The entries of instances: who serves one, how it is, its sign of life."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ledger import keys
from ledger.errors import InstanceTaken
from ledger.limits import Limits
from ledger.scripts import Call

GRACE_MS = 10_000  # a worker unheard for that long no longer owns its queue


class Descriptor(BaseModel):
    """What a router has to know of an instance. ``weight`` is its share of the agents,
    ``fingerprint`` what of its configuration changes answers; empty: nothing of it is cached.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # an older producer, a newer worker

    name: str
    backend: str
    model: str
    slots: int = 1
    roles: tuple[str, ...] = ()
    weight: float = 1.0
    fingerprint: str = ""


InstanceState = Literal["starting", "ready", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class RunningJob:
    """What the guardian knows of a job under its worker's lease; times are Redis' own, in ms."""

    job_id: str
    fence: int
    pid: int
    claimed_ms: int
    progress_ms: int  # its last token; before the first one, its claim
    deadline_ms: int
    stop: str
    limits: Limits
    episode_deadline_ms: int  # 0: none


@dataclass(frozen=True, slots=True)
class Beat:
    """Answer to a sign of life; ``taken`` when another worker serves the instance by now."""

    taken: bool
    state: str = ""
    now_ms: int = 0
    jobs: tuple[RunningJob, ...] = ()


def register(
    descriptor: Descriptor,
    *,
    owner: str,
    node: str,
    pid: int,
    wakeup: str,
    grace_ms: int,
    gone_owner: str = "",
) -> Call[None]:
    """Makes ``owner`` the one that serves the instance.

    Raises (when read):
        InstanceTaken: another one does, and was heard within ``grace_ms``; ``owner``, ``heard_ms``.
    """

    def read(reply: list[Any]) -> None:
        if reply[0] == "taken":
            raise InstanceTaken(
                instance=descriptor.name,
                owner=reply[1],
                node=reply[2],
                pid=reply[3],
                heard_ms=reply[4],
            )

    return Call(
        "register",
        [
            keys.entry(descriptor.name),
            keys.INSTANCES,
            keys.SEEN,
            keys.ROUTES,
            keys.entry(""),
            keys.waiting(""),
            keys.woken(""),
        ],
        [
            descriptor.name,
            owner,
            node,
            pid,
            descriptor.model_dump_json(),
            wakeup,
            descriptor.slots,
            grace_ms,
            gone_owner,
        ],
        read,
    )


def set_state(
    instance: str,
    owner: str,
    state: InstanceState,
    why: str = "",
    *,
    window: int | None = None,
    abilities: Iterable[str] = (),
) -> Call[bool]:
    """Says how the instance is; announced on the channel ``keys.INSTANCES``.

    ``window``: tokens of context of its model, 0: no limit of its own; None: as it was.
    ``abilities``: names of what its backend can do; none: as they were.
    """
    told = "" if window is None else window
    return Call(
        "set_state",
        [keys.entry(instance), keys.INSTANCES, keys.SEEN],
        [instance, owner, state, why, told, " ".join(abilities)],
        bool,
    )


def beat(instance: str, owner: str, *, lease_ms: int, job_ids: Sequence[str]) -> Call[Beat]:
    """Renews the instance and the leases of ``job_ids``, of which only its own are answered."""

    def read(reply: list[Any]) -> Beat:
        if reply[0] == "taken":
            return Beat(taken=True)
        state, now_ms, *rows = reply
        return Beat(False, state, now_ms, tuple(_running(*row) for row in rows))

    return Call(
        "beat",
        [
            keys.entry(instance),
            keys.SEEN,
            keys.running(instance),
            *(keys.job(job_id) for job_id in job_ids),
        ],
        [instance, owner, lease_ms, *job_ids, keys.budget("episode")],
        read,
    )


def _running(job_id: str, *facts: Any) -> RunningJob:
    fence, pid, claimed_ms, progress_ms, deadline_ms, stop, limits, episode_deadline_ms = facts
    return RunningJob(
        job_id=job_id,
        fence=fence,
        pid=pid,
        claimed_ms=claimed_ms,
        progress_ms=progress_ms,
        deadline_ms=deadline_ms,
        stop=stop,
        limits=Limits.unpack(limits),
        episode_deadline_ms=episode_deadline_ms,
    )
