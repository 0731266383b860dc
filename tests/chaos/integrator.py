"""The integrator: somebody else's server, which chaos spares, that hears of the end of every edit.

It takes its time to answer, so that faults strike in the middle of a delivery.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.webhooks.receiver import Receiver, answer, run_receiver

ANSWERS_AFTER = 1.0  # seconds
MOST_REQUESTS = 100_000
_thanks = answer(204)


@contextmanager
def run_integrator() -> Iterator[Receiver]:
    """Run the integrator for the length of a `with` block."""
    with run_receiver() as receiver:
        receiver.answers = [_answer_late] * MOST_REQUESTS
        yield receiver


def _answer_late(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(ANSWERS_AFTER)
    _thanks(handler)
