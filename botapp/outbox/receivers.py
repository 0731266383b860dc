"""What the bot owes for the news of others: written in the transaction that sends the news.

Connected in `apps`. Knows nothing of how a delivery is worded and sent.
"""

from __future__ import annotations

from botapp.models import Chat, Lane, Order, OrderStatus
from botapp.outbox import owe
from jobs.models import Job
from jobs.signals import Receiver
from jobs.states import JobStatus
from payments import referrals
from payments.models import LedgerEntry, Payment, Refund
from qwenedit.users.models import User

ORDERED_HERE = "telegram:"  # how the idempotency key begins of a job that was ordered in a chat


def job_finished(*, job: Job, **_signal: object) -> Receiver:
    """Owe the chat that ordered an edit the news of its end, and friends their reward."""
    unrewarded = yield referrals.unrewarded.of(job.user_id)
    if unrewarded and job.status == JobStatus.SUCCEEDED:
        referrals.reward_first_edit(job.user_id)
    key = job.idempotency_key or ""
    if not key.startswith(ORDERED_HERE):
        return
    order = Order.objects.filter(key=key.removeprefix(ORDERED_HERE), chat__user_id=job.user_id).first()
    if order is None:
        return
    # Whoever submitted the job may not have come to linking it yet, or may have died before.
    Order.objects.filter(pk=order.pk, job=None).update(
        job=job, status=OrderStatus.SUBMITTED, next_try_at=None
    )
    owe(
        chat_id=order.chat_id,
        kind="job",
        lane=Lane.RESULTS,
        subject=order.pk,
        key=f"job:{job.pk}:finished",
    )


def payment_succeeded(*, payment: Payment, **_signal: object) -> None:
    """Owe whoever paid the news that the points are there."""
    _owe_user(payment.user_id, kind="payment", subject=payment.pk, key=f"payment:{payment.pk}")


def payment_refunded(*, refund: Refund, **_signal: object) -> None:
    """Owe whoever had paid the news that money went back."""
    _owe_user(refund.payment.user_id, kind="payment_refund", subject=refund.pk, key=f"refund:{refund.pk}")


def friend_rewarded(*, friend: User, inviter: User | None, **_signal: object) -> None:
    """Owe both of them the news of their points."""
    people = {"friend": friend, "inviter": inviter}
    causes = {f"referral:{friend.pk}:{role}": user for role, user in people.items() if user is not None}
    for entry in LedgerEntry.objects.filter(key__in=causes):
        _owe_user(entry.user_id, kind="referral", subject=entry.pk, key=entry.key)


def _owe_user(user_id: int, *, kind: str, subject: int, key: str) -> None:
    for chat_id in Chat.objects.filter(user_id=user_id).values_list("pk", flat=True):
        owe(chat_id=chat_id, kind=kind, lane=Lane.MONEY, subject=subject, key=key)
