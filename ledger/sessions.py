"""Sessions: what an agent and a model have said to one another, turn by turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ledger import keys
from ledger.errors import CorruptEntry
from ledger.messages import ChatMessage, Request
from ledger.scripts import Call

_SYSTEM = TypeAdapter(tuple[ChatMessage, ...])


class Turn(BaseModel):
    """One request that succeeded, as a session remembers it.

    ``messages``: the request's own, less the system messages it begins with, and the answer as
    the last, with its tool calls and without its reasoning. ``job_id``: the job that they come
    from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: str
    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """What is remembered: the latest system messages, and the turns, oldest first."""

    system: tuple[ChatMessage, ...] = ()
    turns: tuple[Turn, ...] = ()

    def before(self, request: Request, turns: int) -> Request:
        """``request`` as the model reads it after the latest ``turns`` of the session.

        System messages stand first: the request's, or the session's where the request has none.
        The oldest of the turns is left out where it answers a tool call of one before it.
        """
        system, own = split(request)
        latest = dropwhile(_answers_a_call, self.turns[len(self.turns) - turns :])
        earlier = [message for turn in latest for message in turn.messages]
        messages = (*(system or self.system), *earlier, *own)
        return request.model_copy(update={"prompt": None, "messages": messages})


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to be added when its job is finished, and the caps of its session."""

    session_key: str
    body: str
    system: str
    max_turns: int
    max_bytes: int
    retention_ms: int

    @property
    def args(self) -> tuple[str | int, ...]:
        """As the script takes them."""
        return self.body, self.system, self.max_turns, self.max_bytes, self.retention_ms


def _answers_a_call(turn: Turn) -> bool:
    return turn.messages[0].role == "tool"


def split(request: Request) -> tuple[tuple[ChatMessage, ...], tuple[ChatMessage, ...]]:
    """The system messages that a request begins with, and its other messages."""
    if request.messages is None:
        return (), (ChatMessage(role="user", content=request.prompt or ""),)
    messages = request.messages
    first = next(
        (place for place, message in enumerate(messages) if message.role != "system"),
        len(messages),
    )
    return messages[:first], messages[first:]


def new_turn(
    job_id: str,
    request: Request,
    answer: str,
    *,
    turns: int,
    size: int,
    retention_ms: int,
    tool_calls: tuple[dict[str, Any], ...] = (),
) -> NewTurn:
    """The turn of a job that succeeded; ``turns`` and ``size`` (bytes) cap its session."""
    system, own = split(request)
    content = None if tool_calls and not answer else answer
    said = ChatMessage(role="assistant", content=content, tool_calls=tool_calls)
    turn = Turn(job_id=job_id, messages=(*own, said))
    return NewTurn(
        session_key=key_of(request),
        body=turn.model_dump_json(exclude_defaults=True),
        system=_SYSTEM.dump_json(system, exclude_defaults=True).decode() if system else "",
        max_turns=turns,
        max_bytes=size,
        retention_ms=retention_ms,
    )


def key_of(request: Request) -> str:
    """The key of the request's session."""
    return keys.session(request.tenant, request.agent_id, request.session_id or "")


def recall(job_id: str, request: Request, *, fence: int) -> Call[Session | None]:
    """What the session of a running job had when the job's first attempt looked.

    Reads as None when the fence is no longer the job's.

    Raises (when read):
        CorruptEntry: the session holds something that the ledger does not write.
    """

    def read(reply: list[Any]) -> Session | None:
        return None if reply[0] == "fenced" else _session_of(reply[1], reply[2])

    return Call("recall", [key_of(request), keys.job(job_id)], [fence], read)


def read_session(tenant: str, agent_id: str, session_id: str) -> Call[Session]:
    """What a session has now.

    Raises (when read):
        CorruptEntry
    """
    key = keys.session(tenant, agent_id, session_id)
    return Call("read_session", [key], [], lambda reply: _session_of(*reply))


def clear_session(tenant: str, agent_id: str, session_id: str) -> Call[bool]:
    """Removes what a session has. Reads as False where there was nothing."""
    return Call("clear_session", [keys.session(tenant, agent_id, session_id)], [], bool)


def _session_of(system: str, turns: Sequence[str | None]) -> Session:
    try:
        return Session(
            _SYSTEM.validate_json(system) if system else (),
            tuple(Turn.model_validate_json(turn or "") for turn in turns),
        )
    except ValidationError as error:
        raise CorruptEntry(
            "A session's turns are damaged; clear the session and begin anew."
        ) from error
