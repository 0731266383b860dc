"""The life of a refund: pending, succeeded or canceled; made by the shop's API calls or in the cabinet.

Owns: how much may be given back, and what becomes of it. Must not know HTTP. Raises `errors.Refusal`.
YooKassa tells of refunds that succeed, and never of those that are canceled.
"""

import secrets
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

from qwenedit.sandbox.yookassa.clock import Clock
from qwenedit.sandbox.yookassa.errors import invalid
from qwenedit.sandbox.yookassa.payments import Notify
from qwenedit.sandbox.yookassa.receipts import check_receipt
from qwenedit.sandbox.yookassa.records import REFUND_MARK, Payment, Refund, new_id
from qwenedit.sandbox.yookassa.registration import Registration
from qwenedit.sandbox.yookassa.shop import SMALLEST, Shop
from qwenedit.sandbox.yookassa.store import Store
from qwenedit.sandbox.yookassa.validation import RefundRequest

MODES = ("succeeded", "pending", "canceled", "pending_then_succeeded", "pending_then_canceled")
REFUNDABLE_FOR = 3 * 365 * 86_400.0


@dataclass
class Mode:
    """What becomes of the next `count` refunds, or of all: one of MODES, after `seconds` if it says then."""

    name: str = "succeeded"
    seconds: float = 60.0
    party: str = "refund_network"
    reason: str = "insufficient_funds"
    count: int | None = None


class Refunds:
    """Every refund of the shop."""

    def __init__(
        self, shop: Shop, store: Store, clock: Clock, registration: Registration, notify: Notify
    ) -> None:
        self.mode = Mode()
        self._shop = shop
        self._store = store
        self._clock = clock
        self._registration = registration
        self._notify = notify
        self._by_payment: dict[str, list[Refund]] = defaultdict(list)
        for refund in store.refunds.rows.values():
            self._by_payment[refund.payment_id].append(refund)
            self._arm(refund)

    def create(self, asked: RefundRequest, *, hidden_for: float = 0.0) -> Refund:
        """Give money back as the API is asked to."""
        payment = self._store.payments.get(asked.payment_id)
        if payment is None:
            raise invalid("payment_id", "Payment not found or forbidden")
        self._check(payment, asked.amount, asked.currency)
        if asked.amount < payment.amount:
            check_receipt(asked.receipt, asked.amount, asked.currency, self._shop)
        refund = self._new(payment, asked)
        refund.hidden_until = refund.created_at + hidden_for
        self._begin(refund, self._take_mode())
        return refund

    def create_in_cabinet(self, asked: RefundRequest) -> Refund:
        """Give money back as a person in the cabinet does: the shop hears of it by notification alone."""
        payment = self._store.payments.get(asked.payment_id)
        if payment is None:
            raise invalid("payment_id", "Payment not found or forbidden")
        self._check(payment, asked.amount, asked.currency)
        refund = self._new(payment, asked)
        self._succeed(refund)
        return refund

    def settle(self, refund: Refund, status: str, *, party: str, reason: str) -> None:
        """End a refund that is pending."""
        if refund.status != "pending":
            raise invalid("refund_id", f"Refund is {refund.status}")
        if status == "succeeded":
            self._succeed(refund)
        else:
            self._cancel(refund, party, reason)

    def _check(self, payment: Payment, amount: int, currency: str) -> None:
        left = payment.amount - self._given_back(payment)
        if payment.status != "succeeded":
            raise invalid("payment_id", "Payment can not be refunded in current status")
        if self._clock.now() > payment.created_at + REFUNDABLE_FOR:
            raise invalid("payment_id", "Refund period has expired")
        if currency != payment.currency:
            raise invalid("amount.currency", "Currencies do not match")
        if left == 0:
            raise invalid("payment_id", "Payment is already completely refunded")
        if amount > left:
            raise invalid("amount.value", "Refund sum exceeded")
        if amount < left < amount + SMALLEST:
            raise invalid(
                "amount.value", "Remaining payment amount after refund must be greater than 1.00 RUB"
            )

    def _given_back(self, payment: Payment) -> int:
        """Return what is refunded or about to be: a pending refund holds its money."""
        return sum(refund.amount for refund in self._by_payment[payment.id] if refund.status != "canceled")

    def _new(self, payment: Payment, asked: RefundRequest) -> Refund:
        now = self._clock.now()
        refund = Refund(
            id=new_id(REFUND_MARK, now),
            payment_id=payment.id,
            amount=asked.amount,
            currency=asked.currency,
            created_at=now,
            description=asked.description,
            metadata=asked.metadata,
        )
        method = (payment.method or {}).get("type")
        if method == "sbp":
            refund.method = {"type": "sbp", "sbp_operation_id": secrets.token_hex(16).upper()}
        elif method == "bank_card":
            refund.authorization = {"rrn": str(secrets.randbelow(10**12)).zfill(12)}
        self._store.refunds.save(refund)
        self._by_payment[payment.id].append(refund)
        return refund

    def _take_mode(self) -> Mode:
        mode = self.mode
        if mode.count is not None:
            mode.count -= 1
            if mode.count <= 0:
                self.mode = Mode()
        return mode

    def _begin(self, refund: Refund, mode: Mode) -> None:
        if mode.name == "succeeded":
            self._succeed(refund)
        elif mode.name == "canceled":
            self._cancel(refund, mode.party, mode.reason)
        elif mode.name != "pending":
            refund.end = {
                "at": self._clock.now() + mode.seconds,
                "status": mode.name.removeprefix("pending_then_"),
                "party": mode.party,
                "reason": mode.reason,
            }
            self._arm(refund)

    def _arm(self, refund: Refund) -> None:
        if refund.status == "pending" and refund.end is not None:
            self._clock.call_at(refund.end["at"], partial(self._due, refund))

    async def _due(self, refund: Refund) -> None:
        if refund.status == "pending" and refund.end is not None:
            end = refund.end
            self.settle(refund, end["status"], party=end["party"], reason=end["reason"])

    def _succeed(self, refund: Refund) -> None:
        payment = self._store.payments.rows[refund.payment_id]
        payment.refunded += refund.amount
        self._store.payments.save(payment)
        refund.status = "succeeded"
        self._registration.start(refund)
        self._store.refunds.save(refund)
        self._notify("refund.succeeded", refund.body())

    def _cancel(self, refund: Refund, party: str, reason: str) -> None:
        refund.status = "canceled"
        refund.cancellation = {"party": party, "reason": reason}
        self._store.refunds.save(refund)
