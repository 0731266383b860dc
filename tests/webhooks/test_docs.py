"""The example of docs/webhooks.md verifies what is sent, and nothing else."""

import re
from typing import Any

from qwenedit import settings
from tests.webhooks.receiver import Receiver
from webhooks import sending
from webhooks.models import Endpoint
from webhooks.services import send_test

PAGE = (settings.BASE_DIR / "docs" / "webhooks.md").read_text(encoding="utf-8")


def example() -> Any:
    """Return the function that the page gives to integrators."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  (our own page)
    return names["verify"]


def test_the_example_of_the_page_verifies(endpoint: Endpoint, receiver: Receiver) -> None:
    verify = example()
    send_test(endpoint=endpoint)
    sending.send_due()

    [request] = receiver.received
    assert verify(request.raw, request.headers, endpoint.secret)
    assert not verify(request.raw + b" ", request.headers, endpoint.secret)
    assert not verify(request.raw, request.headers, "whsec_" + "A" * 32)
    old = request.headers | {"webhook-timestamp": "1700000000"}
    assert not verify(request.raw, old, endpoint.secret)
