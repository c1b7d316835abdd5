"""jinja2's sandbox, which Transformers uses for chat templates too, and a clock on top of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST_EXPONENT = 1000


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:
    """As Transformers has it: jinja2's own escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


class _GenerationTag(Extension):
    """``{% generation %}``, which marks what is trained on and means nothing here."""

    tags = {"generation"}  # noqa: RUF012  jinja2's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class Sandbox(ImmutableSandboxedEnvironment):
    """What a template may do. The clock is looked at in each turn of a loop and in each call."""

    intercepted_binops = frozenset({"**"})

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        """
        Args:
            limit_s: seconds that a template has.
            clock: seconds from any beginning.
        """
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        self._limit_s, self._clock, self._until = limit_s, clock, 0.0
        del self.globals["lipsum"]  # makes as much text as it is asked for
        self.filters["tojson"] = _to_json
        self.filters["_timed"] = self._timed

    def start(self) -> None:
        """The time begins."""
        self._until = self._clock() + self._limit_s

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        """Refused at once; jinja2 itself waits until the value is used."""
        raise SecurityError(f"it reaches for {attribute} of a {type(obj).__name__}")

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        self._look()
        return super().call(*args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """A power is one step of Python, which no clock can stop."""
        if isinstance(right, int) and right > LARGEST_EXPONENT:
            raise SecurityError(f"it raises to the power of {right}")
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The template, with what each loop goes through passed through the filter ``_timed``."""
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "_timed", [], [], None, None, lineno=loop.lineno)
        return tree

    def _timed(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._look()
            yield item

    def _look(self) -> None:
        if self._clock() > self._until:
            raise SecurityError(f"it takes longer than {self._limit_s:g} s")
