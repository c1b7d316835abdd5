"""Starting a stack from an event loop."""

from __future__ import annotations

import asyncio

from producer.local.stack import LocalStack


async def start_stack(stack: LocalStack) -> None:
    """Starts it in a thread. If the awaiting task is cancelled, it is stopped again.

    Raises:
        StackFailed, RedisUnavailable: it did not come up.
    """
    starting = asyncio.ensure_future(asyncio.to_thread(stack.start))
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The thread goes on regardless, and what it starts would have nobody to stop it.
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(stack.stop)
        raise
