"""The invariants of points and of money."""

from collections import Counter

from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Sum, Value, Window
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, Concat, Lag

from payments import triggers
from payments.ledger import broken_balances
from payments.models import LedgerEntry, Payment, PaymentStatus, PromoCode, Refund, RefundStatus
from payments.refunds import HELD
from qwenedit.lib.audit import MOST_EXAMPLES, Finding
from qwenedit.users.models import Referral, User


def findings() -> list[Finding]:
    """Check every invariant of the ledger, of payments, of promo codes and of invitations."""
    return [*_of_the_ledger(), *_of_payments(), *_of_refunds(), _of_promo_codes(), *_of_referrals()]


def _of_the_ledger() -> list[Finding]:
    chained = LedgerEntry.objects.order_by().annotate(
        before=Window(Lag("balance_after", default=0), partition_by="user_id", order_by="id")
    )
    broken_links = LedgerEntry.objects.filter(
        pk__in=chained.exclude(balance_after=F("before") + F("amount")).values("pk")
    )
    welcome = LedgerEntry.objects.filter(user_id=OuterRef("pk"), kind=LedgerEntry.Kind.INITIAL)
    unwelcomed = User.objects.filter(~Exists(welcome))
    missing = triggers.missing()
    return [
        Finding.of("a balance is the sum of its ledger entries", broken_balances()),
        Finding.of("no balance is below zero", User.objects.filter(balance__lt=0)),
        Finding.of("each entry continues from the balance of the one before", broken_links),
        Finding.of("every user has their welcome entry", unwelcomed),
        Finding("the database refuses to change entries", len(missing), tuple(missing)),
    ]


def _of_payments() -> list[Finding]:
    credit = _entry("payment:", "", LedgerEntry.Kind.PAYMENT, OuterRef("points"), OuterRef("user_id"))
    payments = Payment.objects.annotate(credited=Exists(credit))
    paid = payments.filter(status=PaymentStatus.SUCCEEDED)
    # Keys are unique, so that every payment has at most one credit: what is left over has no payment.
    stray = _count(LedgerEntry.Kind.PAYMENT) - payments.filter(credited=True).count()
    return [
        Finding.of("every payment that succeeded is credited once", paid.filter(credited=False)),
        Finding.of(
            "no other payment is credited", payments.filter(credited=True).exclude(pk__in=paid.values("pk"))
        ),
        Finding("every credit of a payment belongs to one", stray),
        Finding.of("every payment that succeeded names the money", paid.filter(gateway_id__isnull=True)),
    ]


def _of_refunds() -> list[Finding]:
    owner = OuterRef("payment__user_id")
    kind = LedgerEntry.Kind.PAYMENT_REFUND
    refunds = Refund.objects.annotate(
        taken=Exists(_entry("refund:", "", kind, OuterRef("points") * -1, owner)),
        returned=Exists(_entry("refund:", ":returned", kind, OuterRef("points"), owner)),
    )
    canceled = Q(status=RefundStatus.CANCELED)
    over = Payment.objects.annotate(
        held=Coalesce(Sum("refunds__amount", filter=Q(refunds__status__in=HELD)), 0),
        points_held=Coalesce(Sum("refunds__points", filter=Q(refunds__status__in=HELD)), 0),
    ).filter(
        Q(held__gt=F("amount")) | Q(points_held__gt=F("points")) | Q(held__gt=0) & ~Q(status="succeeded")
    )
    stray = _count(kind) - refunds.filter(taken=True).count() - refunds.filter(returned=True).count()
    return [
        Finding.of("no more is given back than was paid", over),
        Finding.of("every refund took its points", refunds.filter(taken=False)),
        Finding.of("a canceled refund gave its points back", refunds.filter(canceled, returned=False)),
        Finding.of("no other refund gave points back", refunds.filter(returned=True).exclude(canceled)),
        Finding("every entry of a refund belongs to one", stray),
    ]


def _of_promo_codes() -> Finding:
    keys = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.PROMO).values_list("key", flat=True)
    redeemed = Counter(key.removeprefix("promo:").partition(":")[0] for key in keys.iterator())
    used = PromoCode.objects.filter(uses__gt=0).values_list("pk", "uses")
    counted = Counter({str(pk): uses for pk, uses in used})
    wrong = sorted(pk for pk in {*redeemed, *counted} if redeemed[pk] != counted[pk])
    examples = tuple(f"promo code {pk}" for pk in wrong[:MOST_EXAMPLES])
    return Finding("a promo code counts its redemptions", len(wrong), examples)


def _of_referrals() -> list[Finding]:
    kind = LedgerEntry.Kind.REFERRAL
    referrals = Referral.objects.annotate(
        to_friend=Exists(_rewarded(":friend", OuterRef("friend_id"))),
        to_inviter=Exists(_rewarded(":inviter", OuterRef("inviter_id"))),
    )
    rewarded = referrals.filter(rewarded_at__isnull=False)
    stray = _count(kind) - rewarded.filter(to_friend=True).count() - rewarded.filter(to_inviter=True).count()
    return [
        Finding.of("a friend who was rewarded has the points", rewarded.filter(to_friend=False)),
        Finding("every reward belongs to an invitation that earned it", stray),
    ]


def _rewarded(end: str, user: Combinable) -> QuerySet[LedgerEntry]:
    key = Concat(Value("referral:"), Cast(OuterRef("pk"), CharField()), Value(end))
    return LedgerEntry.objects.filter(key=key, kind=LedgerEntry.Kind.REFERRAL, user_id=user, amount__gt=0)


def _entry(
    before: str, after: str, kind: LedgerEntry.Kind, amount: Combinable, user: Combinable
) -> QuerySet[LedgerEntry]:
    key = Concat(Value(before), Cast(OuterRef("pk"), CharField()), Value(after))
    return LedgerEntry.objects.filter(key=key, kind=kind, user_id=user, amount=amount)


def _count(kind: LedgerEntry.Kind) -> int:
    return LedgerEntry.objects.filter(kind=kind).count()
