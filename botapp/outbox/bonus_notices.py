"""Notices of the weekly bonus: from rows that `payments.bonus` writes to deliveries, in bounded steps.

A step turns so many notices into deliveries with one statement, in the transaction that marks them as
delivered; whoever can not be reached is passed over. A million of them wait in their own table until the ones
before them are sent. Knows nothing of how a notice is worded and sent.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from botapp import outbox
from botapp.models import Chat
from payments.models import BonusNotice

STEP = 2_000


def feed(*, most_waiting: int) -> int:
    """Write deliveries for notices, oldest first, while few wait to be sent; return how many notices went."""
    taken = 0
    room = most_waiting - outbox.waiting_bulk(broadcast=None, most=most_waiting)
    while room > 0:
        step = _take_step()
        if not step:
            break
        taken += step
        room -= step
    return taken


def _take_step() -> int:
    with transaction.atomic():
        notices = BonusNotice.objects.filter(delivered_at=None).order_by("pk")
        ids = list(notices.select_for_update(skip_locked=True).values_list("pk", flat=True)[:STEP])
        if not ids:
            return 0
        entry = "user__ledger_entries__pk"
        chosen = Chat.objects.filter(gone_at=None, user__ledger_entries__in=ids).values_list(
            "pk", entry, Concat(Value("bonus:"), Cast(entry, CharField()))
        )
        outbox.owe_each(chosen, kind="bonus")
        BonusNotice.objects.filter(pk__in=ids).update(delivered_at=timezone.now())
    return len(ids)
