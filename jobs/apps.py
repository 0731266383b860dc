"""Edits: from a photo and a wish to the edited picture."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from jobs import attempts, checks  # noqa: F401  (they register themselves)
