"""What callers use: clients, jobs, priorities and the errors they meet.

Each name is imported when it is first used: the command line and the processes of a stack begin
without what they do not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from budgets.stage_manager import TokenBudgetManager
    from ledger.errors import (
        ApexError,
        BackendAuth,
        BackendError,
        BudgetExceeded,
        ContentRefused,
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
        ModelNotFound,
        NoInstance,
        QueueFull,
        RateLimited,
        RedisUnavailable,
        ResultTimeout,
        ServerAway,
        UnknownModel,
    )
    from ledger.priority import Priority
    from ledger.settings import Settings, load_settings
    from ledger.status import JobStatus
    from producer.aio import AsyncJob, AsyncLLMClient, PortableLLMClient
    from producer.batch_manager import LLMBatchManager
    from producer.client import Episode, LLMClient
    from producer.dual_endpoint import DualEndpointLLMClient
    from producer.job import Job
    from producer.llm import LLMResponse, get_llm_client
    from producer.llm_config import LLMConfig
    from producer.lm_studio import LMStudioClient
    from producer.manager import MultiInstanceLLMManager

__all__ = [
    "ApexError",
    "AsyncJob",
    "AsyncLLMClient",
    "BackendAuth",
    "BackendError",
    "BudgetExceeded",
    "ContentRefused",
    "ContextTooLong",
    "CorruptEntry",
    "DeadlineExceeded",
    "DualEndpointLLMClient",
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
    "JobStatus",
    "LLMBatchManager",
    "LLMClient",
    "LLMConfig",
    "LLMResponse",
    "LMStudioClient",
    "ModelNotFound",
    "MultiInstanceLLMManager",
    "NoInstance",
    "PortableLLMClient",
    "Priority",
    "QueueFull",
    "RateLimited",
    "RedisUnavailable",
    "ResultTimeout",
    "ServerAway",
    "Settings",
    "TokenBudgetManager",
    "UnknownModel",
    "get_llm_client",
    "load_settings",
]

# The module of a name; of all others it is ledger.errors.
_HOMES = {
    "AsyncJob": "producer.aio",
    "AsyncLLMClient": "producer.aio",
    "DualEndpointLLMClient": "producer.dual_endpoint",
    "Episode": "producer.client",
    "Job": "producer.job",
    "JobStatus": "ledger.status",
    "LLMBatchManager": "producer.batch_manager",
    "LLMClient": "producer.client",
    "LLMConfig": "producer.llm_config",
    "LLMResponse": "producer.llm",
    "LMStudioClient": "producer.lm_studio",
    "MultiInstanceLLMManager": "producer.manager",
    "PortableLLMClient": "producer.aio",
    "Priority": "ledger.priority",
    "Settings": "ledger.settings",
    "TokenBudgetManager": "budgets.stage_manager",
    "get_llm_client": "producer.llm",
    "load_settings": "ledger.settings",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "ledger.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
