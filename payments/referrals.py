"""What an invited friend is worth: points for both, once, after the friend's first successful edit.

Knows who invited whom, and nothing of edits: who finishes one calls this, inside its own transaction.
"""

from __future__ import annotations

from functools import partial

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from payments import ledger
from payments.models import LedgerEntry
from payments.signals import friend_rewarded
from qwenedit.lib.compiled import Compiled
from qwenedit.logs import report
from qwenedit.users.models import Referral, User

logger = structlog.get_logger(__name__)

unrewarded = Compiled(lambda user_id: Referral.objects.filter(pk=user_id, rewarded_at__isnull=True))


def reward_first_edit(user_id: int) -> bool:
    """Reward whoever invited a user, and the user too, unless that was done; return whether this call did it.

    Call it inside the transaction that ends a successful edit, as often as one likes. An inviter who is
    blocked gets nothing; a friend who is, waits.
    """
    points = settings.REFERRAL_BONUS
    found = unrewarded(user_id) if points else []
    if not found:
        return False
    referral = found[0]
    waiting = Referral.objects.filter(pk=user_id, rewarded_at__isnull=True)
    with transaction.atomic():
        # By number, as everybody does who locks several users: nobody waits for somebody who waits for them.
        locked = User.objects.select_for_update(no_key=True)
        both = locked.filter(pk__in=[referral.friend_id, referral.inviter_id])
        people = {person.pk: person for person in both.order_by("pk")}
        friend, inviter = people[referral.friend_id], people[referral.inviter_id]
        if not _may_get(friend) or not waiting.update(rewarded_at=timezone.now()):
            return False
        _give(friend, points, f"referral:{friend.pk}:friend", "Came by an invitation")
        if _may_get(inviter):
            _give(inviter, points, f"referral:{friend.pk}:inviter", "Invited a friend")
        friend_rewarded.send(
            sender=Referral, friend=friend, inviter=inviter if _may_get(inviter) else None, points=points
        )
    return True


def earned(user: User) -> int:
    """Return the points that a user's invitations have brought so far."""
    given = LedgerEntry.objects.filter(user=user, kind=LedgerEntry.Kind.REFERRAL, key__endswith=":inviter")
    return sum(given.values_list("amount", flat=True))


def _may_get(user: User) -> bool:
    return user.is_active and not user.is_blocked


def _give(user: User, points: int, key: str, description: str) -> None:
    entry = ledger.post(
        user_id=user.pk, amount=points, kind=LedgerEntry.Kind.REFERRAL, key=key, description=description
    ).entry
    fields = {
        "payment_id": entry.pk,
        "user_id": user.pk,
        "amount": f"{points} points",
        "new_balance": entry.balance_after,
    }
    transaction.on_commit(
        partial(
            report,
            logger,
            "Referral bonus issued successfully",
            fields,
            cause=key,
            status="succeeded",
            balance_before=entry.balance_after - points,
        )
    )
