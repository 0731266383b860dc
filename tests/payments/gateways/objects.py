"""YooKassa's objects and a scripted YooKassa for the tests of the gateway."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from payments.gateways.yookassa import YooKassaGateway
from tests.comfy.scripted import Answer, Reply, ScriptedServer

SHOP_ID = "100500"
SECRET_KEY = "live_LIjyxDRCDsXLi0PhWsYvKpYMYhkcLk4P"
PAYMENT_ID = "2f1c1a4e-000f-5001-8000-1b2c3d4e5f60"
REFUND_ID = "2f1c1b9a-0015-5000-a000-1d2e3f405162"
KEY = "0193a3b0-7c7e-7cc1-9d7f-1f6a0c2f9a11"

PAYMENT: dict[str, Any] = {
    "id": PAYMENT_ID,
    "status": "pending",
    "amount": {"value": "299.00", "currency": "RUB"},
    "description": "Пополнение баланса, заказ 1042",
    "recipient": {"account_id": SHOP_ID, "gateway_id": "100700"},
    "created_at": "2026-11-20T10:00:00.123Z",
    "confirmation": {
        "type": "redirect",
        "return_url": "https://example.com/back/",
        "confirmation_url": f"https://yoomoney.ru/checkout/payments/v2/contract?orderId={PAYMENT_ID}",
    },
    "payment_method": {"type": "bank_card", "id": PAYMENT_ID, "saved": False, "status": "inactive"},
    "test": False,
    "paid": False,
    "refundable": False,
    "metadata": {"payment_id": "1042", "cms_name": "yookassa_sdk_python"},
}
REFUND: dict[str, Any] = {
    "id": REFUND_ID,
    "payment_id": PAYMENT_ID,
    "status": "succeeded",
    "created_at": "2026-11-20T12:00:00.000Z",
    "amount": {"value": "100.00", "currency": "RUB"},
    "metadata": {"refund_id": "9"},
}


def changed(original: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with `changes` by dotted name; None removes the field."""
    result: dict[str, Any] = copy.deepcopy(dict(original))
    for path, value in changes.items():
        *folders, name = path.split(".")
        target = result
        for folder in folders:
            target = target.setdefault(folder, {})
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return result


def refusal(status: int, code: str, description: str = "") -> Reply:
    """Return an error in YooKassa's shape."""
    body = {"type": "error", "id": "ab5a11cd-13cc-4e33-af8b-75a74e18dd09", "code": code}
    return Reply(status, body | ({"description": description} if description else {}))


class ScriptedYooKassa(ScriptedServer):
    """Answers what a test tells it, in one place for each route."""

    def __init__(self) -> None:
        super().__init__()
        self._server.socket.listen(128)  # the standard library's 5 are fewer than the threads of a test

    @property
    def api_url(self) -> str:
        return f"{self.url}/v3"

    def answer(self, method: str, path: str, answer: Answer) -> None:
        self.answers[method, f"/v3{path}"] = answer

    def gateway(self, **options: Any) -> YooKassaGateway:
        return YooKassaGateway(
            shop_id=SHOP_ID, secret_key=SECRET_KEY, api_url=self.api_url, **{"read_timeout": 30.0, **options}
        )


def sent(server: ScriptedServer) -> list[Any]:
    """Return the bodies that arrived."""
    return [json.loads(request.body) for request in server.requests]
