"""A whole stack on this machine: Redis and the workers of every instance."""

from producer.local.stack import LocalStack

__all__ = ["LocalStack"]
