"""The project's own app: start-up checks and the commands that span the apps."""

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper


class QwenEditConfig(AppConfig):
    name = "qwenedit"

    def ready(self) -> None:
        # The checks register themselves; the Celery app becomes the current one in every process.
        from qwenedit import celery, checks, error_reports, request_ids  # noqa: F401

        error_reports.start()
        # With DEBUG Django remembers every statement, formatted a second time. DEBUG here means one's own
        # machine: nobody reads them, they cost a third of an answer, and a worker would keep them for ever.
        BaseDatabaseWrapper.queries_logged = property(lambda connection: connection.force_debug_cursor)  # type: ignore[assignment]
