"""``celery -A workers worker -Q inst0``: one Celery worker per model instance."""

from ledger.settings import load_settings
from workers.celery_app import create_app

app = create_app(load_settings())

__all__ = ["app"]
