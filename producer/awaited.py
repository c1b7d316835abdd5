"""Waiting for an answer that nobody wants any more once the wait is broken off."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ledger.errors import JobNotFound
from ledger.messages import Result
from producer.aio import AsyncLLMClient
from producer.operations import Order


async def send_and_wait(client: AsyncLLMClient, order: Order) -> Result:
    """Enqueues an order and returns its record; if the awaiting task is cancelled, so is the job.

    Raises:
        What :meth:`producer.client.LLMClient.complete` raises.
    """
    try:
        job = await client.send(order)
        _notice_cancellation()
        return await job.result()
    except asyncio.CancelledError:
        with suppress(JobNotFound):  # it was cancelled before Redis had the job
            await client.job(order.job_id).cancel()
        raise


def _notice_cancellation() -> None:
    """Python 3.11's ``asyncio.wait_for``, in which redis-py sends, may swallow a cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
