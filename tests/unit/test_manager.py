"""The manager of instances, without processes."""

from __future__ import annotations

import asyncio

import pytest

from producer import MultiInstanceLLMManager, manager
from tests.support.slow_stack import SlowStack


def test_a_start_that_is_cancelled_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "LocalStack", SlowStack)
    made = MultiInstanceLLMManager(1, backend="mock", env={"APEX_CONFIG": ""})
    stack = made._stack
    assert isinstance(stack, SlowStack)

    async def cancel() -> None:
        task = asyncio.create_task(made.start())
        await stack.has_begun()
        task.cancel()
        stack.let.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert (stack.starts, stack.stops) == (1, 1)
