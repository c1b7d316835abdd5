"""Models behind OpenAI's API: OpenAI itself, and any server that is compatible with it.

The official SDK asks; its own retries are off, since retries, limits and deadlines are the
ledger's. See docs/backends/openai.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from budgets.estimate import prompt_tokens_bound
from ledger.address import shown
from ledger.errors import BackendError, BackendMissing, InvalidSetting
from ledger.messages import Request
from ledger.model_servers import DEFAULTS
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.openai import dialect as openai_dialect
from workers.backends.openai.body import Body
from workers.backends.openai.dialect import Dialect
from workers.backends.openai.errors import Errors
from workers.backends.openai.options import OpenAIOptions
from workers.backends.options import parse
from workers.backends.servers.io_thread import IoThread
from workers.backends.servers.likely_count import LikelyCount
from workers.backends.servers.patience import until_it_answers

if TYPE_CHECKING:
    from workers.backends.openai.answer import Answers
    from workers.backends.openai.servers import Servers
    from workers.backends.openai.tokenizer import Tokenizer

GRAMMARS = frozenset({"response_format", "tool_choice"})  # which a server begins anew with
NO_KEY = "none"  # the SDK wants one; servers without keys read none


@dataclass(frozen=True, slots=True)
class _Loaded:
    io: IoThread
    servers: Servers
    dialect: Dialect
    tokenizer: Tokenizer
    answers: Answers


class OpenAIBackend:
    """Forwards to one or several servers; each slot's process has one request at a time."""

    default_urls: tuple[str, ...] = (DEFAULTS["openai"],)
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
        self._loaded: _Loaded | None = None

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
            warms_up=False,
        )

    def load(self, say: Say = unsaid) -> None:
        """Waits for a server, APEX_LOAD_TIMEOUT_S at most, and asks it what it is and has.

        Raises:
            BackendAuth: it does not accept the key.
            BackendError: no server answers.
            InvalidSetting: no model is named and the server lists none.
        """
        from workers.backends.openai.servers import Servers

        servers = Servers(self._urls, self._key, self._options, self._errors())
        io = IoThread(f"{self._spec.name}-servers")
        try:
            asking = until_it_answers(servers.models, self._settings.load_timeout_s, say)
            models = io.run(asking)
            self._learn_from({str(one.get("id")): one for one in models})
        except BaseException:
            io.close(servers.close())
            raise
        self._loaded = self._put_together(io, servers)

    def count_tokens(self, request: Request) -> int:
        """By the server's tokenizer where it has one to ask; otherwise an estimate, which the
        server's own count puts right as soon as it tells it. The latter will do where a prompt
        surely fits and is no longer than what is held for it.
        """
        loaded = self._require_loaded()
        longest = prompt_tokens_bound(request) + request.max_tokens
        if loaded.dialect.counts_along and longest <= self._window and not request.history:
            return self._likely.of(request)
        endpoint = loaded.servers.endpoints.preferred()
        counted = loaded.io.run(loaded.tokenizer.count(endpoint, request))
        return self._likely.of(request) if counted is None else counted

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields the server's chunks. To stop closes the connection, at once and at any moment, by
        which the server stops too.

        Raises:
            BackendError and its kinds.
        """
        loaded = self._require_loaded()
        return loaded.io.iterate(loaded.answers.stream(run), run.stop)

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """It keeps nothing; what a server's prefix cache has is only found by its own tenant."""

    def health(self) -> str:
        """Asks the servers; names each of them if none answers."""
        if self._loaded is None:
            return "The model is not loaded."
        troubles = self._loaded.io.run(self._loaded.servers.troubles())
        return " ".join(error.message for error in troubles)

    def close(self) -> None:
        """Closes all connections, and ends the thread that they live in."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.io.close(loaded.servers.close())

    def _learn_from(self, models: dict[str, Mapping[str, Any]]) -> None:
        """What a server lists says what kind it is, its model and its window."""
        self._dialect = self._dialect or openai_dialect.of_models(models.values())
        self._model = self._model or next(iter(models), "")
        if not self._model:
            raise InvalidSetting(
                f"{self._spec.name}: {shown(self._urls[0])} lists no model; set model in its table."
            )
        window = models.get(self._model, {}).get("max_model_len")
        if not self._window and self._dialect.tokenizer and isinstance(window, int):
            self._window = window

    def _put_together(self, io: IoThread, servers: Servers) -> _Loaded:
        from workers.backends.openai.answer import Answers
        from workers.backends.openai.tokenizer import Tokenizer

        options, dialect = self._options, self._dialect or openai_dialect.OTHER
        host = urlsplit(self._urls[0]).hostname or ""
        tokenizer = Tokenizer(self._model, options, dialect, host)
        answers = Answers(
            servers.endpoints,
            Body(self._model, options, dialect, self._settings, key=self._key, host=host),
            tokenizer,
            self._errors(),
            self._likely,
            api=options.api,
            host=host,
            abilities=self.abilities,
        )
        return _Loaded(io, servers, dialect, tokenizer, answers)

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

    def _require_loaded(self) -> _Loaded:
        if self._loaded is None:
            raise BackendError(self.health(), backend=self._spec.backend, retriable=False)
        return self._loaded
