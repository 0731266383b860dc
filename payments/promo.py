"""Promo codes: redeem them, make them, hand them out as CSV.

Whoever guesses learns nothing: a code that never was, one that expired, one switched off and one used up are
refused in the same words. Only somebody who has redeemed a code is told that it was they who did. How often
one may guess is limited above, where requests arrive.
"""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import structlog
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from payments import ledger
from payments.models import LedgerEntry, PromoCode, stored_form
from qwenedit.errors import DomainError
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

# 32 signs, nothing that could be read as another one in capitals: no I, O, 0 and 1.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
RANDOM_LENGTH = 12  # 60 random bits
LONGEST_PREFIX = 40 - RANDOM_LENGTH
LARGEST_BATCH = 100_000
ROWS_AT_ONCE = 1_000
TRIES = 3
CSV_HEADER = ("code", "points", "max_uses", "uses", "uses_per_user", "expires_at", "batch", "created_at")


class PromoCodeRefused(DomainError):
    """The code is unknown, expired, switched off or used up: which of these is for staff to know."""

    code = "invalid_request"

    def __init__(self) -> None:
        text = "There is no such promo code, or it is no longer valid."
        super().__init__(text, errors={"code": [text]})


class PromoCodeAlreadyRedeemed(DomainError):
    """This user has redeemed the code as often as one user may."""

    code = "conflict"
    status = 409


class RedeemerBlocked(DomainError):
    """The account may not be used."""

    code = "invalid_request"


class InvalidBatch(DomainError):
    """Codes can not be made like this."""

    code = "invalid_request"


def redeem_code(*, user: User, code: str, now: datetime | None = None) -> LedgerEntry:
    """Give `user` the points of a code; return the entry, which has them and the balance with them.

    Spaces around a code and its case do not matter. Raises PromoCodeRefused, PromoCodeAlreadyRedeemed, or
    RedeemerBlocked.
    """
    try:
        entry = _redeem(user.pk, stored_form(code), now or timezone.now())
    except DomainError as error:
        logger.info("Promo code refused", user_id=user.pk, reason=type(error).__name__)
        raise
    logger.info(
        "Promo code redeemed",
        payment_id=entry.pk,
        user_id=user.pk,
        amount=f"{entry.amount} points",
        cause=entry.key,
        status="succeeded",
        balance_before=entry.balance_after - entry.amount,
        new_balance=entry.balance_after,
    )
    return entry


@transaction.atomic
def _redeem(user_id: int, code: str, now: datetime) -> LedgerEntry:
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if user.is_blocked or not user.is_active:
        raise RedeemerBlocked("This account is blocked.")
    promo = PromoCode.objects.filter(code=code).first() if code.isprintable() else None
    if promo is None:
        raise PromoCodeRefused
    cause = f"promo:{promo.pk}:{user_id}:"
    # Counted under the user's lock, so that two requests of one user can not both be the first.
    times = LedgerEntry.objects.filter(
        user_id=user_id, kind=LedgerEntry.Kind.PROMO, key__startswith=cause
    ).count()
    if times >= promo.uses_per_user:
        raise PromoCodeAlreadyRedeemed("You have redeemed this promo code already.")
    if not PromoCode.objects.redeemable(now).filter(pk=promo.pk).update(uses=F("uses") + 1):
        raise PromoCodeRefused
    return ledger.post(
        user_id=user_id,
        amount=promo.points,
        kind=LedgerEntry.Kind.PROMO,
        key=f"{cause}{times + 1}",
        description=f"Promo code {promo.code}",
    ).entry


def make_codes(
    *,
    count: int,
    points: int,
    max_uses: int | None = 1,
    uses_per_user: int = 1,
    expires_at: datetime | None = None,
    prefix: str = "",
    batch: str = "",
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> list[PromoCode]:
    """Make `count` different codes, all or none: `prefix` and 60 random bits each.

    Raises InvalidBatch.
    """
    prefix = stored_form(prefix)
    if not 1 <= count <= LARGEST_BATCH:
        raise InvalidBatch(f"Make 1 to {LARGEST_BATCH} codes at a time.")
    if len(prefix) > LONGEST_PREFIX:
        raise InvalidBatch(f"A prefix has up to {LONGEST_PREFIX} characters.")
    for _ in range(TRIES):
        words: set[str] = set()
        while len(words) < count:
            words.add(prefix + _random_word(random_bytes))
        codes = [
            PromoCode(
                code=word,
                points=points,
                max_uses=max_uses,
                uses_per_user=uses_per_user,
                expires_at=expires_at,
                batch=batch,
            )
            for word in words
        ]
        _check(codes[0])
        try:
            with transaction.atomic():
                PromoCode.objects.bulk_create(codes, batch_size=ROWS_AT_ONCE)
        except IntegrityError:  # one of them exists already: as good as never, so all are made anew
            continue
        logger.info("Promo codes made", count=count, points=points, batch=batch)
        return codes
    raise InvalidBatch("No codes are free with this prefix.")


def csv_lines(codes: Iterable[PromoCode]) -> Iterator[str]:
    """Return codes as the lines of a CSV file, the header first; made to be streamed."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(CSV_HEADER)
    for code in codes:
        yield _taken(line)
        writer.writerow(_cell(getattr(code, name)) for name in CSV_HEADER)
    yield _taken(line)


def _random_word(random_bytes: Callable[[int], bytes]) -> str:
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in random_bytes(RANDOM_LENGTH))


def _check(code: PromoCode) -> None:
    try:
        code.clean_fields()
    except ValidationError as error:
        raise InvalidBatch(" ".join(error.messages)) from error


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    # A spreadsheet would run a text that begins like a formula.
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )


def _taken(line: io.StringIO) -> str:
    text = line.getvalue()
    line.seek(0)
    line.truncate()
    return text
