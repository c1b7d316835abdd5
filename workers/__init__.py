"""``celery -A workers worker -Q inst0``: one Celery worker per model instance."""

from ledger.errors import InvalidSetting
from ledger.settings import load_settings
from workers.celery_app import create_app

try:
    app = create_app(load_settings())
except InvalidSetting as error:
    raise SystemExit(f"apexq: {error}") from None

__all__ = ["app"]
