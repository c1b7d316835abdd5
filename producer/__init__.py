"""What callers use: clients, jobs, priorities and the errors they meet."""

from ledger.errors import (
    ApexError,
    BackendError,
    BudgetExceeded,
    ContextTooLong,
    CorruptEntry,
    DeadlineExceeded,
    EpisodeOver,
    IdempotencyConflict,
    InvalidRequest,
    InvalidSetting,
    JobCancelled,
    JobDead,
    JobExpired,
    JobFailed,
    JobNotFound,
    NoInstance,
    QueueFull,
    RedisUnavailable,
    ResultTimeout,
    UnknownModel,
)
from ledger.priority import Priority
from ledger.settings import Settings, load_settings
from producer.aio import AsyncJob, AsyncLLMClient, PortableLLMClient
from producer.client import Episode, LLMClient
from producer.job import Job

__all__ = [
    "ApexError",
    "AsyncJob",
    "AsyncLLMClient",
    "BackendError",
    "BudgetExceeded",
    "ContextTooLong",
    "CorruptEntry",
    "DeadlineExceeded",
    "Episode",
    "EpisodeOver",
    "IdempotencyConflict",
    "InvalidRequest",
    "InvalidSetting",
    "Job",
    "JobCancelled",
    "JobDead",
    "JobExpired",
    "JobFailed",
    "JobNotFound",
    "LLMClient",
    "NoInstance",
    "PortableLLMClient",
    "Priority",
    "QueueFull",
    "RedisUnavailable",
    "ResultTimeout",
    "Settings",
    "UnknownModel",
    "load_settings",
]
