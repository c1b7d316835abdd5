"""Celery's command line without the plugin of Flower, as in an environment where it is missing.

Where Flower is installed, Celery imports it and its web server into every worker: 12 MB a process
that say nothing about either side.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

if __name__ == "__main__":
    modules: dict[str, Any] = sys.modules
    modules["flower"] = None  # Python's way to say that there is no such module
    sys.exit(import_module("celery.__main__").main())
