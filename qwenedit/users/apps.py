"""Accounts and keys. Knows nothing of points, edits or Telegram's bot."""

from django.apps import AppConfig


class UsersConfig(AppConfig):
    name = "qwenedit.users"
    label = "users"
