"""An integrator: a receiver that listens, and alice's endpoint there."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from qwenedit.users.models import User
from tests.factories import EndpointFactory
from tests.webhooks.receiver import Receiver, run_receiver
from webhooks.models import Delivery, DeliveryStatus, Endpoint


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server of alice's."""
    with run_receiver() as server:
        yield server


@pytest.fixture
def endpoint(transactional_db: None, alice: User, receiver: Receiver) -> Endpoint:
    """Alice's endpoint, which hears of everything."""
    return EndpointFactory.create(user=alice, url=receiver.url)


def pass_pauses() -> None:
    """Make everything due that waits for its time."""
    Delivery.objects.filter(status=DeliveryStatus.PENDING).update(next_attempt_at=timezone.now())
