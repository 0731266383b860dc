"""Inviting friends: the code in an invitation, and who came by it.

A code is the inviter's number, sealed with SECRET_KEY: it needs no storage, tells nobody whose it is, and
can be neither guessed nor forged. What a friend is worth is decided above.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from qwenedit.users.models import Referral, User

logger = structlog.get_logger(__name__)

NUMBER_BYTES = 5
TAG_BYTES = 7
# Whoever was here before does not become somebody's friend by pressing a link.
NEW_FOR = timedelta(minutes=10)


def code_of(user: User) -> str:
    """Return a user's code: 16 characters of A-Z a-z 0-9 _ and -, always the same."""
    number = user.pk.to_bytes(NUMBER_BYTES, "big")
    tag = _digest("tag", number)[:TAG_BYTES]
    return base64.urlsafe_b64encode(tag + _masked(number, tag)).decode()


def user_of(code: str) -> User | None:
    """Return whose code it is, or None for a text that is no code."""
    try:
        sealed = base64.b64decode(code, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    tag, masked = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    if len(masked) != NUMBER_BYTES:
        return None
    number = _masked(masked, tag)
    if not hmac.compare_digest(tag, _digest("tag", number)[:TAG_BYTES]):
        return None
    return User.objects.filter(pk=int.from_bytes(number, "big")).first()


def record(friend: User, code: str, *, now: datetime | None = None) -> Referral | None:
    """Note who invited somebody who has just joined; repeating it changes nothing.

    Returns None where nobody did: the code is none, the user is not new, or came before the inviter.
    """
    inviter = user_of(code)
    if inviter is None or inviter.pk >= friend.pk or friend.date_joined < (now or timezone.now()) - NEW_FOR:
        return None
    try:
        with transaction.atomic():
            referral, created = Referral.objects.get_or_create(friend=friend, defaults={"inviter": inviter})
    except IntegrityError:  # the same invitation at the same moment
        return Referral.objects.filter(friend=friend).first()
    if created:
        logger.info("A friend has come", user_id=friend.pk, inviter_id=inviter.pk)
    return referral


def _masked(number: bytes, tag: bytes) -> bytes:
    mask = _digest("mask", tag)
    return bytes(byte ^ cover for byte, cover in zip(number, mask, strict=False))


def _digest(purpose: str, value: bytes) -> bytes:
    return salted_hmac(f"users.referral.{purpose}", value, algorithm="sha256").digest()
