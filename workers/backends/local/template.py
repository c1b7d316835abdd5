"""A model's chat template. It comes out of a file from somewhere, so it runs in a sandbox, for a
limited time and with a bound on the memory that it may take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError

from ledger.errors import ApexError, BackendError, InvalidRequest
from ledger.messages import ChatMessage
from workers.backends.extra_content import without_extra
from workers.backends.local.first_line import first_line
from workers.backends.local.headroom import headroom
from workers.backends.local.sandbox import Sandbox

T = TypeVar("T")

LIMIT_S = 5.0
HEADROOM_BYTES = 1 << 30


class Complaint(Exception):
    """The template's own ``raise_exception``: these messages are not for this model."""


class ChatTemplate:
    """Renders messages as the model was trained to read them."""

    def __init__(
        self,
        source: str,
        *,
        bos: str,
        eos: str,
        backend: str,
        limit_s: float = LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Compiles the template.

        Raises:
            BackendError: it is broken.
        """
        self._sandbox, self._backend = Sandbox(limit_s, clock), backend
        self._constants = {"bos_token": bos, "eos_token": eos}
        self._template = self._guarded(lambda: self._sandbox.from_string(source))

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The text that the model reads, up to where its answer begins.

        Raises:
            InvalidRequest: the template refuses these messages.
            BackendError: the template is broken, or did what it may not.
        """
        facts = {
            **self._constants,
            "messages": [without_extra(one).model_dump(exclude_defaults=True) for one in messages],
            "tools": None,
            "add_generation_prompt": True,
            "raise_exception": _complain,
            "strftime_now": time.strftime,
        }
        return self._guarded(lambda: str(self._template.render(facts)))

    def _guarded(self, step: Callable[[], T]) -> T:
        self._sandbox.start()
        try:
            with headroom(HEADROOM_BYTES):
                return step()
        except Complaint as error:
            said = first_line(error)
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {said}.", said=said
            ) from None
        except SecurityError as error:
            raise self._broken("was stopped", error) from None
        except TemplateError as error:
            raise self._broken("is broken", error) from None
        except Exception as error:  # noqa: BLE001  a template can raise what Python can
            raise self._broken("fails", error) from None

    def _broken(self, how: str, error: Exception) -> ApexError:
        said = first_line(error)
        return BackendError(
            f"The model's chat template {how}: {said}; "
            "set chat_format in the instance's table, or take another file of the model.",
            backend=self._backend,
            said=said,
            retriable=False,
        )


def _complain(message: str) -> None:
    raise Complaint(message)
