"""News of money for whoever is above: sent inside the transaction that causes it."""

from django.dispatch import Signal

payment_succeeded = Signal()  # payment: Payment
payment_refunded = Signal()  # refund: Refund
friend_rewarded = Signal()  # friend: User, inviter: User or None (blocked: got nothing), points: int, each
