"""The clients: many people who submit edits over the REST API, as a good client does.

Each request has an Idempotency-Key and is repeated with it until it is answered. What the answers said is
kept outside the system: it is the truth that the verdict compares with. Must not know the database.
"""

import io
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from PIL import Image

MOST_AT_ONCE = 50
TIMEOUT = 10.0  # seconds for one answer
PAUSE = 0.5  # before asking again
AGAIN = {429, 500, 502, 503, 504}
CANCELLED, REPEATED = 0.1, 0.15  # of all orders


@dataclass
class Order:
    """One edit that somebody wants, and what they were told about it.

    Prompt and seed name its `number`: from what a node wrote into a picture one sees whose it is.
    """

    number: int
    user: str
    key: str
    cancel_after: float | None
    is_repeated: bool
    webhook_url: str  # of its own: whatever comes there is about this order
    job_id: int | None = None
    other_ids: list[int] = field(default_factory=list)  # what repeating the request was answered with
    said_of_cancelling: str | None = None
    refusal: str = ""
    longest_wait: float = 0.0  # seconds until one of its requests was answered

    @property
    def prompt(self) -> str:
        """The wish, in words."""
        return f"make it warmer, order {self.number}"

    @property
    def seed(self) -> int:
        """The seed the client chose."""
        return 1_000_000 + self.number


class Refused(Exception):
    """The answer was neither a success nor one that is worth repeating the request for."""


class Load:
    """Orders of all people, `rate` a second, from `start` to `stop`; then `orders` is the truth."""

    def __init__(
        self, web_urls: Sequence[str], keys: dict[str, str], *, webhook_url: str, rate: float, seed: int
    ) -> None:
        self.orders: list[Order] = []
        self._urls = web_urls
        self._webhook_url = webhook_url
        self._keys = keys
        self._users = list(keys)
        self._every = 1 / rate
        self._seed = seed
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._enough = threading.Event()
        self._given_up = threading.Event()

    def start(self) -> None:
        """Let the people begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Take no more orders, and wait until everybody has their answers, for `patience` seconds at most."""
        self._enough.set()
        self._thread.join(patience)
        self._given_up.set()
        self._thread.join()

    def headers(self, user: str) -> dict[str, str]:
        """Return what a request of that person carries."""
        return {"Authorization": f"Bearer {self._keys[user]}"}

    def _run(self) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(MOST_AT_ONCE) as people:
            while not self._enough.wait(began + len(self.orders) * self._every - time.monotonic()):
                order = self._order(len(self.orders))
                self.orders.append(order)
                people.submit(self._live, order)

    def _order(self, number: int) -> Order:
        # Its own chance: what an order is does not depend on those before it.
        chance = random.Random(f"{self._seed} {number}")
        return Order(
            number=number,
            user=chance.choice(self._users),
            key=f"order-{number}-{chance.getrandbits(32):08x}",
            cancel_after=chance.uniform(0, 4) if chance.random() < CANCELLED else None,
            is_repeated=chance.random() < REPEATED,
            webhook_url=f"{self._webhook_url}/{number}",
        )

    def _live(self, order: Order) -> None:
        try:
            self._place(order)
        except Refused as refusal:
            order.refusal = str(refusal)
        except Exception as error:  # of ours, and must not be lost with the thread
            order.refusal = f"{type(error).__name__}: {error}"

    def _place(self, order: Order) -> None:
        order.job_id = self._submit(order)
        if order.is_repeated:
            order.other_ids.append(self._submit(order))
        if order.cancel_after is not None:
            self._pause(order.cancel_after)
            answer = self._ask(
                order, lambda url: self._post(order, f"{url}/api/v1/jobs/{order.job_id}/cancel/")
            )
            order.said_of_cancelling = answer["status"]

    def _submit(self, order: Order) -> int:
        def post(url: str) -> requests.Response:
            return self._post(
                order,
                f"{url}/api/v1/jobs/",
                headers={"Idempotency-Key": order.key},
                data={"prompt": order.prompt, "seed": order.seed, "webhook_url": order.webhook_url},
                files={"image": ("photo.png", _photo(order.number), "image/png")},
            )

        return int(self._ask(order, post)["id"])

    def _post(
        self, order: Order, url: str, headers: dict[str, str] | None = None, **body: Any
    ) -> requests.Response:
        return requests.post(url, headers=self.headers(order.user) | (headers or {}), timeout=TIMEOUT, **body)

    def _ask(self, order: Order, request: Callable[[str], requests.Response]) -> dict[str, Any]:
        """Make a request until it is answered, each time of another web process. Raises Refused."""
        began = time.monotonic()
        attempt = order.number
        while True:
            answer = None
            try:
                answer = request(self._urls[attempt % len(self._urls)])
            except requests.RequestException as error:
                reason = type(error).__name__
            if answer is not None and answer.ok:
                order.longest_wait = max(order.longest_wait, time.monotonic() - began)
                found: dict[str, Any] = answer.json()
                return found
            if answer is not None:
                reason = f"{answer.status_code}: {answer.text[:200]}"
                if answer.status_code not in AGAIN:
                    raise Refused(reason)
            if self._given_up.is_set():
                raise Refused(f"not answered: {reason}")
            self._pause(PAUSE)
            attempt += 1

    def _pause(self, seconds: float) -> None:
        self._given_up.wait(max(0.0, seconds))


def _photo(number: int) -> bytes:
    """Return a photo like no other order's."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256 % 256, 128)).save(buffer, "PNG")
    return buffer.getvalue()
