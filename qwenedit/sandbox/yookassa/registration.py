"""What becomes of receipts once money has moved: registered after a while, refused, or never heard of.

Owns: `receipt_registration` of payments and refunds. Must not know what a receipt says.
"""

from dataclasses import dataclass
from functools import partial

from qwenedit.sandbox.yookassa.clock import Clock
from qwenedit.sandbox.yookassa.records import Payment, Refund
from qwenedit.sandbox.yookassa.shop import Shop
from qwenedit.sandbox.yookassa.store import Store

OUTCOMES = ("succeeded", "canceled", "pending")


@dataclass
class Registration:
    """`outcome` is one of OUTCOMES and comes `seconds` after the money; pending stays so."""

    shop: Shop
    store: Store
    clock: Clock
    outcome: str = "succeeded"
    seconds: float = 5.0

    def __post_init__(self) -> None:
        records: list[Payment | Refund] = [*self.store.payments.rows.values()]
        records += self.store.refunds.rows.values()
        for record in records:
            if record.receipt_registration == "pending":
                self._plan(record)

    def start(self, record: Payment | Refund) -> None:
        """Begin the registration of a receipt, if the shop has to give one."""
        if self.shop.fiscalization:
            record.receipt_registration = "pending"
            self._plan(record)

    def settle(self, record: Payment | Refund, outcome: str) -> None:
        """End a registration."""
        record.receipt_registration = outcome
        if isinstance(record, Payment):
            self.store.payments.save(record)
        else:
            self.store.refunds.save(record)

    def reset(self) -> None:
        """Register every receipt again after five seconds."""
        self.outcome, self.seconds = "succeeded", 5.0

    def _plan(self, record: Payment | Refund) -> None:
        if self.outcome != "pending":
            self.clock.call_at(self.clock.now() + self.seconds, partial(self._due, record, self.outcome))

    async def _due(self, record: Payment | Refund, outcome: str) -> None:
        if record.receipt_registration == "pending":
            self.settle(record, outcome)
