"""Fixtures of an edit in the chat: alice who talks to the bot, her photos, and the workers that serve her."""

import base64
import shutil
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from PIL import Image

from botapp.models import Chat, Order
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.telegram import Telegram

WISH = "make it a pencil sketch"


@pytest.fixture
def talk(alice_chat: Chat, telegram: Telegram, valkey: Any) -> Talk:
    """Alice's conversation, in English."""
    return Talk(telegram, alice_chat)


@pytest.fixture
def photo(sample_photo: bytes) -> str:
    """A portrait as the stand-in takes it."""
    return base64.b64encode(sample_photo).decode()


@pytest.fixture
def workers(valkey: redis.Redis) -> Iterator[Workers]:
    """The workers; the pictures they have stored are deleted in the end."""
    workers = Workers()
    yield workers
    workers.close()
    shutil.rmtree(django_settings.MEDIA_ROOT, ignore_errors=True)


@pytest.fixture
def done(talk: Talk, photo: str, workers: Workers, node: Any) -> Order:
    """An order of alice's that was finished: her portrait as a pencil sketch."""
    talk.do("photo", data=photo, caption=WISH)
    workers.finish()
    return Order.objects.get()


def drawn(width: int, height: int, kind: str = "PNG", colour: str = "orange") -> str:
    """Return a plain picture of that size as the stand-in takes it."""
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def balance(talk: Talk) -> int:
    """Return the points of whoever talks."""
    return int(Chat.objects.select_related("user").get(pk=talk.user_id).user.balance)
