"""The invariants of points."""

from django.db.models import Exists, F, OuterRef, Window
from django.db.models.functions import Lag

from payments import triggers
from payments.ledger import broken_balances
from payments.models import LedgerEntry
from qwenedit.lib.audit import Finding
from qwenedit.users.models import User


def findings() -> list[Finding]:
    """Check every invariant of the ledger."""
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
