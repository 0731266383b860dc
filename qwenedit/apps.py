"""The project's own app: start-up checks and the commands that span the apps."""

from django.apps import AppConfig


class QwenEditConfig(AppConfig):
    name = "qwenedit"

    def ready(self) -> None:
        from qwenedit import checks  # noqa: F401  (registers itself)
