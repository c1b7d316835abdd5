"""Models behind OpenAI's API: OpenAI itself, and any server that is compatible with it.

The official SDK asks; its own retries are off, since retries, limits and deadlines are the
ledger's. See docs/backends.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from budgets.estimate import prompt_tokens_bound
from ledger.errors import BackendError, BackendMissing, InvalidSetting
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends import openai_dialect
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.io_thread import IoThread
from workers.backends.likely_count import LikelyCount
from workers.backends.openai_body import Body
from workers.backends.openai_errors import Errors
from workers.backends.openai_options import OpenAIOptions
from workers.backends.options import parse

if TYPE_CHECKING:
    from workers.backends.openai_answer import Answers
    from workers.backends.openai_servers import Servers

GRAMMARS = frozenset({"response_format", "tool_choice"})  # which a server begins anew with
NO_KEY = "none"  # the SDK wants one; servers without keys read none


class OpenAIBackend:
    """Forwards to one or several servers; each slot's process has one request at a time."""

    default_urls: tuple[str, ...] = ("https://api.openai.com/v1",)
    common_key = True  # LLM_API_KEY is for it too

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is asked yet.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or there is no server, model
                or key.
            BackendMissing: the SDK is not installed.
        """
        if find_spec("openai") is None:
            raise BackendMissing(backend=spec.backend, extra="openai")
        self._spec, self._settings = spec, settings
        self._options = options = parse(spec, OpenAIOptions)
        self._urls = self._urls_of(options)
        key = options.api_key or (settings.api_key if self.common_key else None)
        self._key = key.get_secret_value() if key else NO_KEY
        by_url = openai_dialect.of_url(self._urls[0])
        self._dialect = openai_dialect.DIALECTS.get(options.server or "") or by_url
        if by_url is not None:
            self._refuse_without_model_or_key()
        self._model = spec.model or ""
        self._window = options.window
        self._likely = LikelyCount()
        self._io: IoThread | None = None
        self._servers: Servers | None = None
        self._answers: Answers | None = None

    @property
    def abilities(self) -> Abilities:
        """What the kind of server has; which one that is is known when it is loaded."""
        options, dialect = self._options, self._dialect or openai_dialect.OTHER
        continues = options.continues
        if continues is None:
            continues = dialect.continues or options.api == "completions"
        return Abilities(
            continues=continues,
            options=dialect.options(options.api),
            window=self._window,
            slots=0,
            chat=options.api == "chat",
            images=options.api == "chat",
            reasoning=options.api == "chat",
            anew_with=GRAMMARS,
        )

    def load(self, say: Say = unsaid) -> None:
        """Waits for a server, APEX_LOAD_TIMEOUT_S at most, and asks it what it is and has.

        Raises:
            BackendAuth: it does not accept the key.
            BackendError: no server answers.
            InvalidSetting: no model is named and the server lists none.
        """
        from workers.backends.openai_servers import Servers

        self._io = IoThread(f"{self._spec.name}-servers")
        self._servers = Servers(self._urls, self._key, self._options, self._errors())
        try:
            models = self._io.run(self._servers.wait(self._settings.load_timeout_s, say))
            self._prepare(self._servers, {str(one.get("id")): one for one in models})
        except BaseException:
            self.close()
            raise

    def _prepare(self, servers: Servers, models: dict[str, Mapping[str, Any]]) -> None:
        from workers.backends.openai_answer import Answers

        self._dialect = dialect = self._dialect or openai_dialect.of_models(models.values())
        self._model = self._model or next(iter(models), "")
        if not self._model:
            raise InvalidSetting(
                f"{self._spec.name}: {self._urls[0]} lists no model; set model in its table."
            )
        window = models.get(self._model, {}).get("max_model_len")
        if not self._window and dialect.tokenizer and isinstance(window, int):
            self._window = window
        self._answers = Answers(
            servers.endpoints,
            Body(self._model, self._options, dialect, self._settings, self._key),
            self._errors(),
            self._likely,
            api=self._options.api,
            abilities=self.abilities,
        )

    def count_tokens(self, request: Request) -> int:
        """By the server's tokenizer where it has one to ask; otherwise an estimate, which the
        server's own count puts right as soon as it tells it. The latter will do where a prompt
        surely fits and is no longer than what is held for it.
        """
        io, servers = self._loaded
        dialect = self._dialect or openai_dialect.OTHER
        longest = prompt_tokens_bound(request) + request.max_tokens
        if dialect.counts_along and longest <= self._window and not request.history:
            return self._likely.of(request)
        counted = io.run(servers.count(request, self._model, dialect))
        return self._likely.of(request) if counted is None else counted

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields the server's chunks. To stop closes the connection, at once and at any moment, by
        which the server stops too.

        Raises:
            BackendError and its kinds.
        """
        io, _ = self._loaded
        if run.stop.is_set() or self._answers is None:
            return iter(())
        return io.iterate(self._answers.stream(run), run.stop)

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """It keeps nothing; what a server's prefix cache has is only found by its own tenant."""

    def health(self) -> str:
        """Asks the servers; names each of them if none answers."""
        if self._io is None or self._servers is None:
            return "The backend is not loaded."
        return " ".join(error.message for error in self._io.run(self._servers.troubles()))

    def close(self) -> None:
        """Closes all connections, and ends the thread that they live in."""
        io, servers = self._io, self._servers
        self._io = self._servers = self._answers = None
        if io is not None:
            if servers is not None:
                io.run(servers.close())
            io.close()

    def _urls_of(self, options: OpenAIOptions) -> tuple[str, ...]:
        if options.endpoints:
            return options.endpoints
        one = options.base_url or self._settings.api_base
        if one is None and not self.default_urls:
            raise InvalidSetting(
                f"{self._spec.name}: the backend {self._spec.backend} needs its servers; set "
                'endpoints = ["http://localhost:8001/v1", …] in its table, or LLM_API_BASE.'
            )
        return (one.rstrip("/"),) if one else self.default_urls

    def _refuse_without_model_or_key(self) -> None:
        name = self._spec.name
        if self._spec.model is None:
            raise InvalidSetting(f"{name}: OpenAI has many models; set model, or LLM_MODEL.")
        if self._key == NO_KEY:
            raise InvalidSetting(f"{name}: OpenAI's API needs a key; set LLM_API_KEY.")

    def _errors(self) -> Errors:
        return Errors(self._spec.backend, self._model, "" if self._key == NO_KEY else self._key)

    @property
    def _loaded(self) -> tuple[IoThread, Servers]:
        if self._io is None or self._servers is None:
            raise BackendError(self.health(), backend=self._spec.backend, retriable=False)
        return self._io, self._servers
