"""The actions of the control route, one method each; they are described in `control`.

Owns: reading their arguments. Raises ValueError or `errors.Refusal` for what cannot be done.
"""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from qwenedit.sandbox.yookassa.notifications import HUGE, SHAPES, body_of, changed, object_of, usual_event
from qwenedit.sandbox.yookassa.payments import Lie
from qwenedit.sandbox.yookassa.records import Payment, Refund
from qwenedit.sandbox.yookassa.refunds import MODES, Mode
from qwenedit.sandbox.yookassa.registration import OUTCOMES
from qwenedit.sandbox.yookassa.shop import LIMITS, PROVIDERS
from qwenedit.sandbox.yookassa.validation import AMOUNT, CURRENCIES, RefundRequest, read_metadata
from qwenedit.sandbox.yookassa.webhooks import ORDERS, Sending

if TYPE_CHECKING:
    from qwenedit.sandbox.yookassa.server import Sandbox

Answer = dict[str, Any]
FINAL = ("succeeded", "canceled")
LONGEST_ADVANCE = 10 * 365 * 86_400.0
MOST_COPIES = 1000


class Actions:
    """What can be done to one server. An action without an answer of its own returns None."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def perform(self, request: Mapping[str, Any]) -> Answer | None:
        """Carry out one action; the other fields of the request are its arguments."""
        arguments = dict(request)
        name = arguments.pop("action", None)
        action = getattr(self, f"do_{name}", None)
        if action is None:
            known = ", ".join(sorted(item[3:] for item in dir(self) if item.startswith("do_")))
            raise ValueError(f"unknown action {name!r}; known are {known}")
        _check_arguments(inspect.signature(action), arguments)
        answer: Answer | None = await action(**arguments)
        return answer

    async def do_pay(
        self, *, payment_id: str, method: str | None = None, late: bool = False, amount: str | None = None,
        currency: str | None = None, test: bool | None = None, shop_id: str | None = None,
    ) -> Answer:  # fmt: skip
        """Let the buyer pay."""
        payment = self._payment(payment_id)
        payments = self._sandbox.payments
        if currency is not None:
            _choose("currency", currency, CURRENCIES)
        lie = Lie(
            amount=None if amount is None else _hundredths(amount),
            currency=currency,
            test=test,
            account_id=shop_id,
        )
        payments.pay(payment, method or payments.methods_for(payment)[0], late=late, lie=lie)
        return payment.body()

    async def do_decline(
        self, *, payment_id: str, reason: str = "insufficient_funds", party: str = "payment_network"
    ) -> Answer:
        """Let the buyer's attempt fail."""
        payment = self._payment(payment_id)
        self._sandbox.payments.decline(payment, party=party, reason=reason)
        return payment.body()

    async def do_expire(self, *, payment_id: str) -> Answer:
        """Let a payment's time run out."""
        payment = self._payment(payment_id)
        self._sandbox.payments.expire(payment)
        return payment.body()

    async def do_refund(
        self, *, payment_id: str, amount: str | None = None, description: str | None = None,
        metadata: dict | None = None,
    ) -> Answer:  # fmt: skip
        """Give money back in the cabinet."""
        payment = self._payment(payment_id)
        asked = RefundRequest(
            payment_id=payment_id,
            amount=payment.amount - payment.refunded if amount is None else _hundredths(amount),
            currency=payment.currency,
            description=description,
            metadata=read_metadata({"metadata": metadata}),
            receipt=None,
        )
        return self._sandbox.refunds.create_in_cabinet(asked).body()

    async def do_refund_mode(
        self, *, mode: str, seconds: float = 60.0, party: str = "refund_network",
        reason: str = "insufficient_funds", count: int | None = None,
    ) -> None:  # fmt: skip
        """Decide what becomes of new refunds."""
        name = _choose("mode", mode, MODES)
        self._sandbox.refunds.mode = Mode(name, seconds, party, reason, count)

    async def do_settle_refund(
        self, *, refund_id: str, status: str = "succeeded", party: str = "refund_network",
        reason: str = "insufficient_funds",
    ) -> Answer:  # fmt: skip
        """End a pending refund."""
        refund = self._refund(refund_id)
        status = _choose("status", status, FINAL)
        self._sandbox.refunds.settle(refund, status, party=party, reason=reason)
        return refund.body()

    async def do_receipt_mode(self, *, mode: str, seconds: float = 5.0) -> None:
        """Decide what becomes of receipts."""
        registration = self._sandbox.registration
        registration.outcome, registration.seconds = _choose("mode", mode, OUTCOMES), seconds

    async def do_settle_receipt(
        self, *, payment_id: str | None = None, refund_id: str | None = None, status: str = "succeeded"
    ) -> Answer:
        """End the registration of a receipt."""
        record = self._record(payment_id, refund_id)
        if record is None:
            raise ValueError("payment_id or refund_id is needed")
        self._sandbox.registration.settle(record, _choose("status", status, OUTCOMES))
        return record.body()

    async def do_advance(self, *, seconds: float) -> None:
        """Put the clock forward."""
        if seconds > LONGEST_ADVANCE:
            raise ValueError(f"seconds can be {LONGEST_ADVANCE:.0f} at most")
        await self._sandbox.clock.advance(seconds)
        self._sandbox.remember_clock()

    async def do_shop(
        self, *, test: bool | None = None, enabled: bool | None = None, fiscalization: str | None = None,
        methods: list | None = None,
    ) -> None:  # fmt: skip
        """Change the shop."""
        shop = self._sandbox.shop
        if fiscalization is not None:
            shop.fiscalization = _choose("fiscalization", fiscalization, ("", *PROVIDERS))
        if methods is not None:
            if not methods:
                raise ValueError("a shop needs a method")
            shop.methods = [_choose("methods", method, tuple(LIMITS)) for method in methods]
        shop.test = shop.test if test is None else test
        shop.enabled = shop.enabled if enabled is None else enabled

    async def do_fault(self, **entry: Any) -> None:
        """Add an entry to the plan of faults."""
        self._sandbox.faults.add(entry)

    async def do_clear_faults(self) -> None:
        """Let everything go right again."""
        self._sandbox.faults.clear()

    async def do_reset(self) -> None:
        """Go back to the start."""
        self._sandbox.reset()

    async def do_webhooks(
        self, *, url: str | None = None, copies: int | None = None, parallel: bool | None = None,
        headers: dict | None = None,
    ) -> None:  # fmt: skip
        """Change how notifications are sent."""
        webhooks = self._sandbox.webhooks
        webhooks.sending = _sending(
            webhooks.sending, url=url, copies=copies, parallel=parallel, headers=headers
        )

    async def do_pause(self) -> None:
        """Hold notifications back."""
        self._sandbox.webhooks.pause()

    async def do_resume(self, *, order: str = "kept") -> None:
        """Deliver what was held back."""
        await self._sandbox.webhooks.resume(_choose("order", order, ORDERS))

    async def do_notify(
        self, *, payment_id: str | None = None, refund_id: str | None = None, object: dict | None = None,
        status: str | None = None, changes: dict | None = None, event: str | None = None,
        shape: str = "whole", size: int = HUGE, url: str | None = None, copies: int | None = None,
        parallel: bool | None = None, headers: dict | None = None,
    ) -> Answer:  # fmt: skip
        """Send a notification that no event caused."""
        record = self._record(payment_id, refund_id)
        if record is None and object is None:
            raise ValueError("payment_id, refund_id or object is needed")
        said = changed(object_of(record, status) if record else object or {}, changes or {})
        name = event or usual_event(said)
        body = body_of(name, said, _choose("shape", shape, SHAPES), size)
        webhooks = self._sandbox.webhooks
        sending = _sending(webhooks.sending, url=url, copies=copies, parallel=parallel, headers=headers)
        if not sending.url:
            raise ValueError("there is no URL to notify")
        about = {
            "event": name,
            "object_id": said.get("id"),
            "object_status": said.get("status"),
            "attempt": 0,
            "shape": shape,
        }
        return {"deliveries": await webhooks.send(body, sending, about)}

    def _record(self, payment_id: str | None, refund_id: str | None) -> Payment | Refund | None:
        if payment_id is not None:
            return self._payment(payment_id)
        return None if refund_id is None else self._refund(refund_id)

    def _payment(self, payment_id: str) -> Payment:
        payment = self._sandbox.store.payments.get(payment_id)
        if payment is None:
            raise ValueError(f"there is no payment {payment_id}")
        return payment

    def _refund(self, refund_id: str) -> Refund:
        refund = self._sandbox.store.refunds.get(refund_id)
        if refund is None:
            raise ValueError(f"there is no refund {refund_id}")
        return refund


def _sending(
    now: Sending, *, url: str | None, copies: int | None, parallel: bool | None, headers: dict | None
) -> Sending:
    given = {"url": url, "copies": copies, "parallel": parallel, "headers": headers}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not 1 <= changes.get("copies", 1) <= MOST_COPIES:
        raise ValueError(f"copies can be 1 to {MOST_COPIES}")
    if not all(isinstance(value, str) for value in changes.get("headers", {}).values()):
        raise ValueError("headers must be texts")
    return replace(now, **changes)


def _check_arguments(signature: inspect.Signature, arguments: Mapping[str, Any]) -> None:
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(str(error)) from None
    for name, value in arguments.items():
        parameter = signature.parameters.get(name)
        if parameter is not None and not _fits(value, parameter.annotation):
            raise ValueError(f"{name} cannot be {value!r}")


def _fits(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    if isinstance(value, bool):
        return bool in (get_args(kind) or (kind,))
    return isinstance(value, kind) and not (isinstance(value, int) and value < 0)


def _choose(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name} can be one of {', '.join(known)}, not {value!r}")
    return str(value)


def _hundredths(text: str) -> int:
    if not AMOUNT.fullmatch(text):
        raise ValueError(f"{text!r} is no amount such as '100.00'")
    return int(text.replace(".", ""))
