"""Options that commands share, and the settings that they all start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ledger.settings import Settings, load_settings
from producer.cli.edge import Invocation

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """``--json``: the command gets ``as_json``, and the edge answers errors as JSON too."""

    def tell_the_edge(ctx: click.Context, _: click.Parameter, as_json: bool) -> bool:
        ctx.ensure_object(Invocation).as_json = as_json
        return as_json

    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,  # before another option can be wrong
        callback=tell_the_edge,
        help="Print JSON, errors included.",
    )(function)


def tenant_option(function: F) -> F:
    """``--tenant``: the command gets ``tenant``."""
    return click.option(
        "--tenant", default="default", show_default=True, help="Whose jobs and tokens."
    )(function)


def local_settings() -> Settings:
    """The settings; where they name no Redis, that of the stack that is up in this directory.

    Raises:
        InvalidSetting
    """
    settings = load_settings()
    if "redis_url" in settings.model_fields_set:
        return settings
    from producer.local.detached import running

    stack = running()
    return settings.model_copy(update={"redis_url": stack.redis_url}) if stack else settings
