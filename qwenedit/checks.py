"""Start-up checks of the installation as a whole."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register()
def check_var_is_writable(**_kwargs: Any) -> list[CheckMessage]:
    """Everything local has a place to live."""
    folder = settings.VAR_DIR
    folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        return []
    return [
        Warning(
            f"{folder} can not be written to.",
            hint="Give this user the folder, or point VAR_DIR elsewhere.",
            id="qwenedit.W001",
        )
    ]


@register(Tags.security, deploy=True)
def check_production(**_kwargs: Any) -> list[CheckMessage]:
    """With DEBUG off nothing local is left in use unnoticed."""
    found: list[CheckMessage] = []
    if not settings.METRICS_TOKEN:
        found.append(
            Warning(
                "/metrics answers everybody.",
                hint="Set METRICS_TOKEN, and give it to Prometheus as a bearer token.",
                id="qwenedit.W002",
            )
        )
    return found
