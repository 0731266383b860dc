"""Telegram's way in by webhook."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from botapp.models import Chat, IncomingUpdate
from botapp.registration import webhook_secret
from qwenedit.users.models import User
from tests.botapp.incoming import message
from tests.telegram import Telegram
from tests.waiting import wait_until

URL = "/webhooks/telegram/"


def post(body: Any, *, secret: str | None = None) -> int:
    headers = {"X-Telegram-Bot-Api-Secret-Token": webhook_secret() if secret is None else secret}
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return Client().post(URL, data, content_type="application/json", headers=headers).status_code


@pytest.mark.django_db(transaction=True)
def test_an_update_with_the_secret_is_kept_acknowledged_and_answered(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    assert post(message(alice, "/menu")) == 200
    wait_until(lambda: telegram.said(alice_chat.pk))
    assert "What shall we do?" in telegram.words(alice_chat.pk)[-1]


@pytest.mark.django_db
@pytest.mark.parametrize("secret", ["", "wrong", "ключ"])
def test_without_the_secret_nothing_is_kept(alice: User, secret: str) -> None:
    assert post(message(alice, "/menu"), secret=secret.encode().decode("latin-1")) == 403
    assert not IncomingUpdate.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("body", ["", "{", "[1]", "null", b"\xff\xfe"])
def test_what_is_no_update_is_refused(body: Any) -> None:
    assert post(body) == 400


def test_only_post_is_taken() -> None:
    assert Client().get(reverse("telegram-update")).status_code == 405


def test_the_secret_can_be_set_and_is_never_empty(settings: Any) -> None:
    settings.TELEGRAM_WEBHOOK_SECRET = ""
    made = webhook_secret()
    assert len(made) >= 32
    settings.TELEGRAM_WEBHOOK_SECRET = "mine"
    assert webhook_secret() == "mine"
