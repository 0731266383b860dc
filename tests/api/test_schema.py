"""The OpenAPI schema: complete without a warning, and true under thousands of strange requests.

That every answer of the other tests is as documented is seen to by this folder's conftest.
"""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db.models import Model
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.ledger import broken_balances
from payments.models import Payment, PaymentStatus, PromoCode
from qwenedit.users.services import create_api_key
from tests.api import contract, photos
from tests.api.conftest import upload
from tests.api.traces import stored_files, traces
from tests.clients import api_client
from tests.factories import (
    EndpointFactory,
    JobFactory,
    PaymentFactory,
    PresetFactory,
    UserFactory,
    WebhookDeliveryFactory,
)
from tests.servers import YooKassaServer
from webhooks.models import Delivery as WebhookDelivery
from webhooks.models import DeliveryStatus, Endpoint

EXAMPLES = 40
MEANT_TO_EXIST = 10_000  # ids below are taken for rows that exist
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]

BOUNDED = hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

PICTURES = st.sampled_from([photos.jpeg(), photos.png(), photos.jpeg()[:200], b"", b"words"])
schemathesis.openapi.format("binary", PICTURES | st.binary(max_size=64))


def test_the_schema_is_made_and_validated_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_contracts_addresses_are_all_there() -> None:
    listed = {
        (method.upper(), path)
        for path, operations in contract.schema()["paths"].items()
        for method in operations
    }
    assert listed == {
        ("GET", "/api/v1/me/"),
        ("GET", "/api/v1/me/ledger/"),
        ("GET", "/api/v1/presets/"),
        ("GET", "/api/v1/jobs/"),
        ("POST", "/api/v1/jobs/"),
        ("GET", "/api/v1/jobs/{id}/"),
        ("GET", "/api/v1/jobs/{id}/result/"),
        ("GET", "/api/v1/jobs/{id}/events/"),
        ("POST", "/api/v1/jobs/{id}/cancel/"),
        ("GET", "/api/v1/payments/"),
        ("POST", "/api/v1/payments/"),
        ("GET", "/api/v1/payments/{id}/"),
        ("POST", "/api/v1/promocodes/redeem/"),
        ("GET", "/api/v1/webhooks/"),
        ("POST", "/api/v1/webhooks/"),
        ("GET", "/api/v1/webhooks/{id}/"),
        ("PATCH", "/api/v1/webhooks/{id}/"),
        ("DELETE", "/api/v1/webhooks/{id}/"),
        ("GET", "/api/v1/webhooks/{id}/secret/"),
        ("POST", "/api/v1/webhooks/{id}/rotate-secret/"),
        ("POST", "/api/v1/webhooks/{id}/test/"),
        ("GET", "/api/v1/webhooks/{webhook_id}/deliveries/"),
        ("GET", "/api/v1/webhooks/{webhook_id}/deliveries/{id}/"),
        ("POST", "/api/v1/webhooks/{webhook_id}/deliveries/{id}/redeliver/"),
        ("GET", "/api/v1/webhooks/deliveries/"),
        ("GET", "/api/v1/webhooks/deliveries/{id}/"),
        ("POST", "/api/v1/webhooks/deliveries/{id}/redeliver/"),
        ("GET", "/api/v1/webhooks/secret/"),
        ("POST", "/api/v1/webhooks/rotate-secret/"),
    }


def test_every_operation_asks_for_a_key_and_documents_its_problems() -> None:
    for operations in contract.schema()["paths"].values():
        for operation in operations.values():
            assert operation["security"] == [{"ApiKey": []}]
            assert operation["summary"]
            assert {"401", "403"} <= set(operation["responses"])


def test_nothing_that_is_always_answered_is_called_optional() -> None:
    components = contract.schema()["components"]["schemas"]
    answers = (
        *("Me", "LedgerEntry", "Category", "Preset", "Job", "SubmittedJob", "Result", "Error"),
        *("Payment", "StartedPayment", "Redeemed"),
        *("Endpoint", "NewEndpoint", "Secret", "WebhookDelivery", "Attempt"),
    )
    for name in answers:
        assert set(components[name]["required"]) == set(components[name]["properties"]), name


@pytest.fixture
def rich_key(transactional_db: None, yookassa: YooKassaServer, settings: Any) -> Iterator[str]:
    """The key of a user whose points outlast the examples, with an edit and a payment in every state."""
    settings.RATE_LIMIT_ENABLED = False
    user = UserFactory.create(balance=10**9)
    PresetFactory.create(slug="pencil")
    PresetFactory.create(slug="duo", photos=2)
    for status in JobStatus:
        JobFactory.create(user=user, status=status)
    for payment_status in PaymentStatus:
        PaymentFactory.create(user=user, status=payment_status)
    PromoCode.objects.create(code="WINTER", points=1)
    endpoint = EndpointFactory.create(user=user)
    for delivery_status in DeliveryStatus:
        WebhookDeliveryFactory.create(endpoint=endpoint, status=delivery_status)
    yield create_api_key(user=user)[1]
    assert not broken_balances().exists()
    named = JobImage.objects.values_list("file", flat=True)
    assert sorted(named) == stored_files()


turns = itertools.count()  # drawn ids are nearly always 0: the rows are called on in turn instead
fuzzed = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())


def subject(path: str, parameter: str) -> type[Model]:
    """Return whose ids a parameter of an address takes."""
    if "webhooks" in path:
        return WebhookDelivery if "deliveries" in path and parameter == "id" else Endpoint
    return Payment if "payments" in path else Job


@fuzzed.parametrize()
@BOUNDED
def test_no_request_breaks_the_api_or_its_promises(case: Case, rich_key: str) -> None:
    for name, number in case.path_parameters.items():
        if isinstance(number, int) and 0 <= number < MEANT_TO_EXIST:
            model = subject(case.path, name)
            ids = model._default_manager.order_by("id").values_list("id", flat=True)
            case.path_parameters[name] = ids[next(turns) % len(ids)] if ids else number
    headers: dict[str, Any] = {"Authorization": f"Bearer {rich_key}"}
    case.call_and_validate(headers=headers, checks=CHECKS)


PHOTO = st.sampled_from([photos.jpeg(1), photos.jpeg(2), photos.png()])
GOOD = st.one_of(
    st.fixed_dictionaries(
        {
            "image": st.lists(PHOTO, min_size=1, max_size=3),
            "prompt": st.sampled_from(["add snow", "сделай рассвет", "cafe\u0301 lights"]),
        },
        optional={"seed": st.integers(0, 2**53 - 1), "webhook_url": st.just("https://shop.example/hook")},
    ),
    st.fixed_dictionaries({"image": st.lists(PHOTO, min_size=1, max_size=1), "preset": st.just("pencil")}),
    st.fixed_dictionaries({"image": st.lists(PHOTO, min_size=2, max_size=2), "preset": st.just("duo")}),
)
STRANGE = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"image": st.lists(PICTURES, max_size=5)}),
    *[
        st.fixed_dictionaries({name: st.text(max_size=size)})
        for name, size in {"prompt": 520, "preset": 110, "seed": 30, "webhook_url": 520, "other": 30}.items()
    ],
)
KEYS = (
    st.none() | st.sampled_from(["", "one", "two"]) | st.text(st.characters(max_codepoint=255), max_size=210)
)


def test_a_form_with_one_strange_field_is_an_edit_in_full_or_nothing_at_all(rich_key: str) -> None:
    client = api_client(rich_key)
    seen: set[int] = set()

    @given(good=GOOD, strange=STRANGE, key=KEYS)
    @BOUNDED
    def submit(good: dict[str, Any], strange: dict[str, Any], key: str | None) -> None:
        form = good | strange
        before = traces()
        answer = client.post(
            "/api/v1/jobs/",
            form | {"image": [upload(data) for data in form["image"]]},
            format="multipart",
            headers={} if key is None else {"Idempotency-Key": key},
        )
        after = traces()
        new = {
            name: len(after[name]) - len(before[name]) for name in ("jobs", "pictures", "entries", "files")
        }
        if answer.status_code == 201 and new["jobs"]:
            pictures = len(form["image"])
            assert new == {"jobs": 1, "pictures": pictures, "entries": 1, "files": pictures}
        else:
            assert answer.status_code in (201, 400, 409)
            assert after == before
        seen.add(answer.status_code)
        Job.objects.unfinished().update(status=JobStatus.SUCCEEDED)

    submit()
    assert {201, 400} <= seen
