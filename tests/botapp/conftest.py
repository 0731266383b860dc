"""Fixtures that tests of the bot share."""

from tests.botapp.editing import done, photo, talk, workers

__all__ = ["done", "photo", "talk", "workers"]
