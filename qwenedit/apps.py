"""The project's own app: start-up checks and the commands that span the apps."""

from django.apps import AppConfig


class QwenEditConfig(AppConfig):
    name = "qwenedit"

    def ready(self) -> None:
        # The checks register themselves; the Celery app becomes the current one in every process.
        from qwenedit import celery, checks, error_reports, request_ids  # noqa: F401

        error_reports.start()
