"""Measures apexq against plain Celery and bare Redis, in one run: ``python -m benchmarks``."""
