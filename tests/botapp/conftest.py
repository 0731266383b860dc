"""Fixtures that tests of the bot share."""

from collections.abc import Iterator

import pytest

from botapp.outbox import pace
from tests.botapp.editing import done, photo, talk, workers
from tests.botapp.second_process import PATIENCE

__all__ = ["done", "photo", "talk", "workers"]


@pytest.fixture(autouse=True)
def _patient_pace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait for a Valkey on a busy machine: a process that gives it up keeps limits of its own for a while."""
    monkeypatch.setattr(pace, "TIMEOUT", PATIENCE)
    monkeypatch.setattr(pace, "_local", pace._Local())
    monkeypatch.setattr(pace, "_down_until", 0.0)
    pace._shared_at.cache_clear()  # a client keeps the time-out that it was made with
    yield
    pace._shared_at.cache_clear()
