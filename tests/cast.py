"""The people of the tests: alice, bob who is her peer, and charlie, a stranger who owns nothing of theirs."""

import pytest
from rest_framework.test import APIClient

from qwenedit import settings
from qwenedit.users.models import User
from qwenedit.users.services import create_api_key
from tests.clients import api_client
from tests.factories import UserFactory


@pytest.fixture
def alice(db: None) -> User:
    """Somebody who uses the service, with the points that everybody starts with."""
    return UserFactory.create(username="alice", telegram_id=1001, first_name="Alice")


@pytest.fixture
def bob(db: None) -> User:
    """Another user, just like alice."""
    return UserFactory.create(username="bob", telegram_id=1002, first_name="Bob")


@pytest.fixture
def charlie(db: None) -> User:
    """A stranger: a user to whom nothing in a test belongs."""
    return UserFactory.create(username="charlie", telegram_id=1003, first_name="Charlie")


@pytest.fixture
def alice_key(alice: User) -> str:
    """The text of a key of alice's, with every scope."""
    return create_api_key(user=alice)[1]


@pytest.fixture
def bob_key(bob: User) -> str:
    """The text of a key of bob's, with every scope."""
    return create_api_key(user=bob)[1]


@pytest.fixture
def charlie_key(charlie: User) -> str:
    """The text of a key of charlie's, with every scope."""
    return create_api_key(user=charlie)[1]


@pytest.fixture
def api(alice_key: str) -> APIClient:
    """The REST API, called by alice. Others: `tests.clients.api_client(key)`."""
    return api_client(alice_key)


@pytest.fixture(scope="session")
def sample_photo() -> bytes:
    """The portrait that is shipped with the project, as a PNG file's bytes."""
    return (settings.BASE_DIR / "qwenedit" / "samples" / "astronaut.png").read_bytes()
