"""Telegram: the face that most users see."""

from django.apps import AppConfig


class BotConfig(AppConfig):
    name = "botapp"
