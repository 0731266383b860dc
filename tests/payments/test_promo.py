"""Promo codes: what they give, to whom, how often, and that races change none of it."""

import csv
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from payments import audit, ledger
from payments.models import LedgerEntry, PromoCode
from payments.promo import (
    ALPHABET,
    LARGEST_BATCH,
    InvalidBatch,
    PromoCodeAlreadyRedeemed,
    PromoCodeRefused,
    RedeemerBlocked,
    csv_lines,
    make_codes,
    redeem_code,
)
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.threads import at_once

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
Kind = LedgerEntry.Kind


@pytest.fixture
def _the_audit_holds_afterwards(each_database: str) -> Iterator[None]:
    yield
    assert [finding for finding in audit.findings() if finding.broken] == []


on_each_database = pytest.mark.usefixtures("each_database", "_the_audit_holds_afterwards")


def make_code(code: str = "SPRING", points: int = 100, **fields: Any) -> PromoCode:
    promo: PromoCode = PromoCode.objects.create(code=code, points=points, **fields)
    return promo


def redeem(user: User, code: str = "SPRING") -> LedgerEntry:
    return redeem_code(user=user, code=code, now=NOW)


def uses(promo: PromoCode) -> int:
    return PromoCode.objects.values_list("uses", flat=True).get(pk=promo.pk)


@on_each_database
def test_a_code_gives_its_points_and_says_the_balance() -> None:
    user, promo = UserFactory.create(), make_code()
    entry = redeem(user)
    assert (entry.amount, entry.balance_after) == (100, 160)
    assert (entry.kind, entry.key) == (Kind.PROMO, f"promo:{promo.pk}:{user.pk}:1")
    assert User.objects.get(pk=user.pk).balance == 160
    assert uses(promo) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("stored", "typed"),
    [("SPRING", "spring"), ("spring", "SPRING"), ("Spring-26", "  sPRING-26\n"), ("весна", "ВЕСНА\u00a0")],
)
def test_case_and_spaces_around_do_not_matter(stored: str, typed: str) -> None:
    make_code(stored)
    assert redeem(UserFactory.create(), typed).amount == 100


@on_each_database
def test_one_user_redeems_a_code_once() -> None:
    user, promo = UserFactory.create(), make_code(max_uses=None)
    redeem(user)
    with pytest.raises(PromoCodeAlreadyRedeemed) as refusal:
        redeem(user)
    assert (refusal.value.code, refusal.value.status) == ("conflict", 409)
    assert redeem(UserFactory.create()).amount == 100
    assert uses(promo) == 2


@on_each_database
def test_a_code_for_several_uses_per_user_gives_its_points_each_time() -> None:
    user, promo = UserFactory.create(), make_code(uses_per_user=3)
    assert [redeem(user).balance_after for _ in range(3)] == [160, 260, 360]
    with pytest.raises(PromoCodeAlreadyRedeemed):
        redeem(user)
    keys = user.ledger_entries.filter(kind=Kind.PROMO).order_by("pk").values_list("key", flat=True)
    assert list(keys) == [f"promo:{promo.pk}:{user.pk}:{n}" for n in (1, 2, 3)]


@pytest.mark.django_db
def test_a_code_is_good_until_the_moment_it_expires() -> None:
    make_code(expires_at=NOW + timedelta(microseconds=1))
    assert redeem(UserFactory.create()).amount == 100


def used_up() -> None:
    make_code(max_uses=1)
    redeem(UserFactory.create())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arrange", "typed"),
    [
        (lambda: None, "SPRING"),
        (lambda: make_code(is_active=False), "SPRING"),
        (lambda: make_code(expires_at=NOW), "SPRING"),
        (used_up, "SPRING"),
        (make_code, ""),
        (make_code, "SPRING\x00"),
        (make_code, "SPRING\ud800"),
        (make_code, "SPRING" * 100),
        (make_code, "SPR%"),
        (make_code, "SPRIN_"),
    ],
)
def test_whatever_is_not_redeemable_is_refused_in_the_same_words(
    arrange: Callable[[], object], typed: str
) -> None:
    arrange()
    user = UserFactory.create()
    with pytest.raises(PromoCodeRefused) as refusal:
        redeem(user, typed)
    text = "There is no such promo code, or it is no longer valid."
    assert (refusal.value.code, refusal.value.status, refusal.value.message) == ("invalid_request", 400, text)
    assert refusal.value.extra == {"errors": {"code": [text]}}
    assert not user.ledger_entries.filter(kind=Kind.PROMO).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("state", [{"is_blocked": True}, {"is_active": False}])
def test_a_blocked_account_redeems_nothing(state: dict[str, bool]) -> None:
    promo = make_code()
    with pytest.raises(RedeemerBlocked):
        redeem(UserFactory.create(**state))
    assert uses(promo) == 0


@pytest.mark.django_db
def test_a_code_that_changed_its_mind_about_uses_counts_on() -> None:
    user, promo = UserFactory.create(), make_code()
    redeem(user)
    PromoCode.objects.filter(pk=promo.pk).update(uses_per_user=2, points=5)
    assert redeem(user).key == f"promo:{promo.pk}:{user.pk}:2"


@on_each_database
def test_one_user_at_once_gets_the_points_once() -> None:
    user, promo = UserFactory.create(), make_code(max_uses=None)
    outcomes = at_once(*[partial(redeem, user)] * 20)
    assert Counter(type(outcome) for outcome in outcomes) == {LedgerEntry: 1, PromoCodeAlreadyRedeemed: 19}
    assert User.objects.get(pk=user.pk).balance == 160
    assert uses(promo) == 1


@on_each_database
def test_many_users_at_once_share_the_uses_there_are() -> None:
    users, promo = UserFactory.create_batch(20), make_code(max_uses=7)
    outcomes = at_once(*(partial(redeem, user) for user in users))
    assert Counter(type(outcome) for outcome in outcomes) == {LedgerEntry: 7, PromoCodeRefused: 13}
    assert sum(User.objects.values_list("balance", flat=True)) == 20 * 60 + 7 * 100
    assert uses(promo) == 7


@on_each_database
def test_users_with_several_uses_race_for_the_last_ones() -> None:
    users, promo = UserFactory.create_batch(4), make_code(max_uses=10, uses_per_user=3)
    outcomes = at_once(*(partial(redeem, user) for user in users * 5))
    assert sum(isinstance(outcome, LedgerEntry) for outcome in outcomes) == 10
    assert uses(promo) == 10
    per_user = Counter(LedgerEntry.objects.filter(kind=Kind.PROMO).values_list("user_id", flat=True))
    assert max(per_user.values()) <= 3


@on_each_database
def test_redeeming_and_spending_at_once_come_out_even() -> None:
    user = UserFactory.create(balance=100)
    make_code(uses_per_user=10, max_uses=10)
    spend = partial(ledger.charge_job, user_id=user.pk, points=10, description="edit")
    outcomes = at_once(
        *[partial(redeem, user)] * 10, *(partial(spend, job_id=job_id) for job_id in range(10))
    )
    assert all(isinstance(outcome, LedgerEntry) for outcome in outcomes)
    assert User.objects.get(pk=user.pk).balance == 100 + 10 * 100 - 10 * 10


@pytest.mark.django_db
def test_a_code_can_not_be_used_more_often_than_the_database_allows() -> None:
    with pytest.raises(IntegrityError):
        make_code(max_uses=1, uses=2)


@pytest.mark.django_db
@pytest.mark.parametrize("code", ["two words", "=1+1", "", "A;B", "X" * 41])
def test_staff_can_not_choose_such_a_code(code: str) -> None:
    with pytest.raises(ValidationError):
        PromoCode(code=code, points=1).full_clean()


@pytest.mark.django_db
def test_a_chosen_code_that_is_taken_in_other_letters_is_refused_by_the_form() -> None:
    make_code("Spring")
    with pytest.raises(ValidationError, match="already exists"):
        PromoCode(code="sPRING", points=1).full_clean()


@on_each_database
def test_a_batch_is_made_of_different_random_codes() -> None:
    codes = make_codes(count=2500, points=50, prefix="gift-", batch="Black Friday", expires_at=NOW)
    words = set(PromoCode.objects.filter(batch="Black Friday").values_list("code", flat=True))
    assert len(words) == 2500
    assert words == {code.code for code in codes}
    for word in words:
        assert word.startswith("GIFT-")
        assert len(word) == len("GIFT-") + 12
        assert set(word.removeprefix("GIFT-")) <= set(ALPHABET)
    used = Counter("".join(word.removeprefix("GIFT-") for word in words))
    assert set(used) == set(ALPHABET)
    assert max(used.values()) < 1.5 * min(used.values())


def test_the_alphabet_has_five_bits_a_sign_and_nothing_that_looks_alike() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set(ALPHABET) & set("0O1I")
    assert ALPHABET.upper() == ALPHABET


@pytest.mark.django_db
def test_a_made_code_is_redeemed_once() -> None:
    [code] = make_codes(count=1, points=50)
    assert redeem(UserFactory.create(), code.code.lower()).amount == 50
    with pytest.raises(PromoCodeRefused):
        redeem(UserFactory.create(), code.code)


@on_each_database
def test_a_code_that_exists_is_not_made_again() -> None:
    same, other = random.Random(1).randbytes(12), random.Random(2).randbytes(12)
    [first] = make_codes(count=1, points=1, random_bytes=lambda _count: same)
    answers = iter([same, other])
    [second] = make_codes(count=1, points=1, random_bytes=lambda _count: next(answers))
    assert first.code != second.code
    with pytest.raises(InvalidBatch):
        make_codes(count=1, points=1, random_bytes=lambda _count: same)
    assert PromoCode.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wish",
    [
        {"count": 0},
        {"count": LARGEST_BATCH + 1},
        {"prefix": "X" * 29},
        {"prefix": "two words"},
        {"points": 0},
        {"max_uses": 0},
        {"uses_per_user": 0},
        {"batch": "B" * 61},
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(InvalidBatch):
        make_codes(**({"count": 1, "points": 1} | wish))
    assert not PromoCode.objects.exists()


@pytest.mark.django_db
def test_codes_leave_as_csv_that_no_spreadsheet_runs() -> None:
    make_codes(count=2, points=50, batch="=HYPERLINK(1)", expires_at=NOW)
    make_code("CHOSEN", max_uses=None)
    lines = list(csv_lines(PromoCode.objects.order_by("pk")))
    assert len(lines) == 4
    rows = list(csv.DictReader(lines))
    assert [row["code"] for row in rows] == list(
        PromoCode.objects.order_by("pk").values_list("code", flat=True)
    )
    assert (rows[0]["points"], rows[0]["max_uses"], rows[0]["uses"]) == ("50", "1", "0")
    assert rows[0]["expires_at"] == "2026-11-27T12:00:00+00:00"
    assert rows[0]["batch"] == "'=HYPERLINK(1)"
    assert (rows[2]["max_uses"], rows[2]["expires_at"]) == ("", "")
    assert list(csv_lines([])) == [lines[0]]
