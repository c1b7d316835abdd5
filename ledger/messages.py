"""What travels through the ledger: requests, results, events. Unknown fields are refused."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from ledger.errors import InvalidRequest
from ledger.plain import JsonObject, Text
from ledger.priority import Priority

SCHEMA_VERSION: Literal[1] = 1  # what this release writes, and the newest that it reads

Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Label = Annotated[Text, Field(max_length=64)]  # the bounds of metadata are those of OpenAI's API
Note = Annotated[Text, Field(max_length=512)]


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"

    @property
    def terminal(self) -> bool:
        """True once nothing about the job will change any more."""
        return self not in (State.QUEUED, State.RUNNING)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TextPart(_Message):
    """A part of a message that is text."""

    type: Literal["text"]
    text: Text


class ImageUrl(_Message):
    """Where an image is: a URL, or the image itself as ``data:image/png;base64,…``."""

    url: Text
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_Message):
    """A part of a message that is an image."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _form(content: object) -> str:
    return "[text]" if isinstance(content, str) else "[parts]"


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
# Told apart by hand, so that what is said of a bad one speaks of its own form.
Content = Annotated[
    Annotated[Text, Tag("[text]")] | Annotated[tuple[Part, ...], Tag("[parts]")],
    Discriminator(_form),
]


class ChatMessage(_Message):
    """One turn of a conversation, in the form of OpenAI's chat API.

    ``tool_calls`` are an assistant's, whose ``content`` may be None beside them; a ``tool``'s
    message says with ``tool_call_id`` which of them it answers.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: Content | None
    name: Text | None = None
    tool_calls: tuple[JsonObject, ...] = ()
    tool_call_id: Text | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ChatMessage:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls are an assistant's")
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing")
        return self

    @property
    def text(self) -> str:
        """What it says in words."""
        if isinstance(self.content, tuple):
            return "".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The images that it shows."""
        parts = self.content if isinstance(self.content, tuple) else ()
        return tuple(part for part in parts if isinstance(part, ImagePart))


class Request(_Message):
    """What a caller asks of a model.

    Exactly one of ``prompt`` and ``messages`` is given. ``max_tokens`` counts completion tokens,
    ``timeout_s`` counts seconds of run time from the claim; the other time limits are seconds too:
    in the queue until the first claim, until the first token, between two tokens (None: no limit).
    ``instance`` is the only one that may run it (None: the agent's own).
    With ``history`` the model reads the session's earlier turns first, and this one is added to
    them if it succeeds. ``logprobs`` asks for each token's probability, and for those of as many of
    the likeliest in its place. ``cache``: whether an earlier answer will do; None: as the settings
    say. Options that a backend lacks are refused by it, never dropped.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    prompt: Text | None = None
    messages: tuple[ChatMessage, ...] | None = None
    agent_id: Id
    session_id: Id | None = None
    episode_id: Id | None = None
    tenant: Id = "default"
    model: Name | None = None
    instance: Id | None = None
    priority: Priority = Priority.NORMAL
    max_tokens: int = Field(default=512, ge=1, le=1_000_000)
    temperature: float | None = Field(default=None, ge=0, le=10)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), max_length=16)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    logit_bias: dict[Text, float] | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: JsonObject | None = None
    tools: tuple[JsonObject, ...] | None = None
    tool_choice: Literal["none", "auto", "required"] | JsonObject | None = None
    history: bool = False
    cache: bool | None = None
    timeout_s: float = Field(default=180, gt=0, le=86_400)
    queue_timeout_s: float | None = Field(default=None, gt=0, le=31_536_000)
    first_token_timeout_s: float | None = Field(default=None, gt=0, le=86_400)
    token_timeout_s: float | None = Field(default=None, gt=0, le=86_400)
    metadata: dict[Label, Note] | None = Field(default=None, max_length=16)

    @field_validator("priority", mode="before")
    @classmethod
    def _priority_by_name(cls, value: object) -> object:
        if isinstance(value, str) and value.upper() in Priority.__members__:
            return Priority[value.upper()]
        if isinstance(value, bool) or value not in tuple(Priority):
            raise ValueError("it takes URGENT, HIGH, NORMAL or LOW, which are 0, 3, 6 and 9")
        return value

    @field_validator(
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "logprobs",
        "timeout_s",
        "queue_timeout_s",
        "first_token_timeout_s",
        "token_timeout_s",
        mode="before",
    )
    @classmethod
    def _no_bool_for_a_number(cls, value: object) -> object:
        # Pydantic takes True for 1; a client that sends it meant another field.
        if isinstance(value, bool):
            raise ValueError("it takes a number, not true or false")
        return value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_input(self) -> Request:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages, and not both")
        if self.messages is not None and not self.messages:
            raise ValueError("messages is empty")
        if self.history and self.session_id is None:
            raise ValueError("history is of a session; give a session_id too")
        return self

    @property
    def texts(self) -> list[str]:
        """Every text that the model will read."""
        if self.prompt is not None:
            return [self.prompt]
        return [message.text for message in self.messages or ()]

    @property
    def images(self) -> list[ImagePart]:
        """Every image that the model will see."""
        return [image for message in self.messages or () for image in message.images]

    def to_json(self) -> str:
        """The request as it is stored; defaults are left out."""
        return self.model_dump_json(exclude_defaults=True)


_FIELDS = frozenset(Request.model_fields)


def version_of(body: str) -> int:
    """The schema version of a request's JSON, which this release may not be able to read.

    One that has none is of version 1: a later release writes its own into each request.
    """
    try:
        version = json.loads(body).get("schema_version", 1)
    except (ValueError, AttributeError):
        return 1
    return version if isinstance(version, int) else 1


class TokenLogprob(_Message):
    """A token of the answer, and the natural logarithm of the probability that the model gave it,
    before temperature, bias and grammar.

    ``text`` has U+FFFD for bytes that are no whole character. ``top``: the likeliest tokens in this
    place, the likeliest first, as many as the request's ``logprobs``.
    """

    id: int
    text: str
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


class Usage(_Message):
    """Tokens, counted by the model's own tokenizer or its server. ``cached_tokens`` of the prompt's
    were in the model's cache, from an earlier turn of the session, and were not read again by the
    last attempt.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and answer together: what budgets are charged."""
        return self.prompt_tokens + self.completion_tokens


class Timings(_Message):
    """Milliseconds since the submit: until the claim, the first token, the end."""

    queued_ms: float = 0
    ttft_ms: float | None = None
    total_ms: float = 0


class Result(_Message):
    """A job's terminal record. ``logprobs``: one for each completion token, where asked for.
    ``reasoning``: what a model thought before its answer, where its backend tells the two apart.
    ``tool_calls``: in the form of OpenAI's chat API, put together from their deltas.
    """

    job_id: str
    state: State
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[JsonObject, ...] = ()
    usage: Usage = Usage()
    finish_reason: Literal["stop", "length", "tool_calls", "error", "cancelled"] = "stop"
    instance: str = ""
    attempt: int = 1
    cached: bool = False
    timings: Timings = Timings()
    error: dict[str, Any] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


class Event(_Message):
    """One entry of a job's stream.

    ``seq`` counts from 1 and is the cursor: a reader that saw ``seq`` asks for what comes after.
    Kinds: ``chunk`` (``text``, ``reasoning``, ``tool_calls`` as deltas, ``tokens``, their
    ``logprobs`` if asked for), ``reset`` (what was read so far is void: a retry begins anew),
    ``requeued`` (``reason``; of an attempt that ``failed`` also its ``instance`` and, in ms, when:
    ``at_ms``), ``budget_low`` (``used`` of ``limit`` tokens of the episode; once per job), ``end``
    (``state``; the record is in the ledger).
    """

    seq: int = 0
    kind: Literal["chunk", "reset", "requeued", "budget_low", "end"]
    attempt: int = 0
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[JsonObject, ...] = ()
    tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    reason: str = ""
    failed: bool = False
    instance: str = ""
    at_ms: int = 0
    used: int = 0
    limit: int = 0
    state: State | None = None

    def body(self) -> str:
        """The event as it is stored, without its seq: that is the entry's id."""
        return self.model_dump_json(exclude_defaults=True)


def parse_request(**fields: Any) -> Request:
    """A validated request.

    Raises:
        InvalidRequest: with one sentence that names the field and what it takes.
    """
    unknown = fields.keys() - _FIELDS
    if unknown:
        known = ", ".join(sorted(_FIELDS - {"schema_version"}))
        raise InvalidRequest(f"Unknown option {sorted(unknown)[0]!r}; known: {known}.")
    try:
        return Request(**fields)
    except ValidationError as error:
        raise InvalidRequest(sentence(error)) from None


def sentence(error: ValidationError) -> str:
    """The first complaint of pydantic, as one sentence."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("["))
    said = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "string_unicode":
        said = "the text has a lone surrogate and cannot be encoded as UTF-8"
    if first["type"] == "string_pattern_mismatch":
        said = "control characters are not allowed"
    return f"{where}: {said}." if where else f"{said}."
