"""Start-up checks of what the bot needs."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from yaml import YAMLError

from botapp import texts
from botapp.knowledge import KnowledgeError, read_articles
from botapp.texts import TextsError


@register()
def check_data_files(**_kwargs: Any) -> list[CheckMessage]:
    """What the bot says and the articles of its knowledge base can be read."""
    found: list[CheckMessage] = []
    try:
        texts.keys()
    except (TextsError, YAMLError) as error:
        found.append(Error(str(error), hint="Repair the file under botapp/texts/.", id="botapp.E001"))
    try:
        read_articles()
    except KnowledgeError as error:
        hint = "Repair the file under botapp/articles/."
        found.append(Error("; ".join(error.problems), hint=hint, id="botapp.E002"))
    return found


@register(Tags.security, deploy=True)
def check_support_can_be_reached(**_kwargs: Any) -> list[CheckMessage]:
    """Whoever has paid knows whom to write to: Telegram asks that of every bot that takes payments."""
    if settings.SUPPORT_CONTACT:
        return []
    return [
        Warning(
            "SUPPORT_CONTACT is empty: /paysupport tells nobody whom to write to.",
            hint="Set SUPPORT_CONTACT to an @name or an address that somebody reads.",
            id="botapp.W001",
        )
    ]
