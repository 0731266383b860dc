"""`webhooks/`: made, changed, tried, and what was sent to them; only their owner's."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from qwenedit.users.models import Scope, User
from qwenedit.users.services import create_api_key
from tests.api.conftest import Submit
from tests.clients import api_client
from tests.factories import EndpointFactory, WebhookDeliveryFactory
from webhooks import gateway
from webhooks.models import Delivery, DeliveryStatus, Endpoint
from webhooks.services import MOST_ENDPOINTS, job_url_secret

pytestmark = pytest.mark.django_db

WEBHOOKS = "/api/v1/webhooks/"
URL = "https://shop.example/hook"
Problem = Callable[..., dict[str, Any]]


def key_with(user: User, *scopes: Scope) -> APIClient:
    return api_client(create_api_key(user=user, scopes=scopes)[1])


def test_a_webhook_is_made_with_a_secret(api: APIClient, alice: User) -> None:
    answer = api.post(WEBHOOKS, {"url": URL, "events": ["job.failed", "job.failed"], "description": "shop"})

    assert answer.status_code == 201
    body = answer.json()
    endpoint = Endpoint.objects.get()
    assert endpoint.user == alice
    assert body.pop("created_at")
    assert body == {
        "id": endpoint.pk,
        "url": URL,
        "description": "shop",
        "events": ["job.failed"],
        "enabled": True,
        "failing_since": None,
        "disabled_at": None,
        "disabled_reason": "",
        "secret": endpoint.secret,
    }
    shown = api.get(f"{WEBHOOKS}{endpoint.pk}/").json()
    assert "secret" not in shown
    assert api.get(WEBHOOKS).json()["results"] == [shown]


def test_it_is_changed_and_deleted(api: APIClient, alice: User) -> None:
    endpoint = EndpointFactory.create(user=alice)
    WebhookDeliveryFactory.create(endpoint=endpoint)
    page = f"{WEBHOOKS}{endpoint.pk}/"

    body = api.patch(page, {"url": URL, "events": [], "enabled": False}).json()
    assert (body["url"], body["enabled"]) == (URL, False)
    assert body["disabled_reason"] == "disabled by its owner"
    assert Delivery.objects.get().status == "cancelled"

    body = api.patch(page, {"enabled": True}).json()
    assert (body["enabled"], body["disabled_at"], body["disabled_reason"]) == (True, None, "")
    assert api.put(page, {"url": URL}).status_code == 405

    assert api.delete(page).status_code == 204
    assert not Endpoint.objects.exists()
    assert not Delivery.objects.exists()


def test_enabling_makes_a_new_beginning(api: APIClient, alice: User) -> None:
    past = "2026-11-01T00:00Z"
    endpoint = EndpointFactory.create(
        user=alice, failing_since=past, disabled_at=past, disabled_reason="failing"
    )
    page = f"{WEBHOOKS}{endpoint.pk}/"
    assert api.get(page).json()["disabled_reason"] == "no delivery succeeded for days"
    body = api.patch(page, {"enabled": True}).json()
    assert (body["enabled"], body["failing_since"]) == (True, None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://user:password@shop.example/"}, "url"),
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "https://169.254.169.254/latest/"}, "url"),
        ({"url": f"https://shop.example/{'x' * 500}"}, "url"),
        ({"url": URL, "events": ["job.exploded"]}, "events.0"),
        ({"url": URL, "events": "job.failed"}, "events"),
        ({"url": URL, "enabled": "perhaps"}, "enabled"),
        ({"url": URL, "description": "x" * 201}, "description"),
    ],
)
def test_what_is_wrong_is_said_by_field(
    fields: dict[str, Any], field: str, api: APIClient, problem: Problem
) -> None:
    body = problem(api.post(WEBHOOKS, fields), 400, "invalid_request")
    assert list(body["errors"]) == [field]
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://localhost/"]
)
def test_production_refuses_private_networks(
    url: str,
    api: APIClient,
    alice: User,
    submit: Submit,
    problem: Problem,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = False
    monkeypatch.setattr(gateway, "LOOKUP_SECONDS", 60.0)  # a name that is not resolved in time passes
    endpoint = EndpointFactory.create(user=alice)

    assert list(problem(api.post(WEBHOOKS, {"url": url}), 400, "invalid_request")["errors"]) == ["url"]
    problem(api.patch(f"{WEBHOOKS}{endpoint.pk}/", {"url": url}), 400, "invalid_request")
    body = problem(submit(webhook_url=url), 400, "invalid_request")
    assert list(body["errors"]) == ["webhook_url"]


def test_there_is_a_limit(api: APIClient, alice: User, problem: Problem) -> None:
    EndpointFactory.create_batch(MOST_ENDPOINTS, user=alice)
    assert problem(api.post(WEBHOOKS, {"url": URL}), 409, "conflict")["limit"] == MOST_ENDPOINTS


def test_secrets_are_shown_and_changed(api: APIClient, alice: User) -> None:
    endpoint = EndpointFactory.create(user=alice)
    own = job_url_secret(user=alice)
    for row, page in ((endpoint, f"{WEBHOOKS}{endpoint.pk}/"), (own, WEBHOOKS)):
        old = row.secret
        assert api.get(f"{page}secret/").json() == {"secret": old, "previous_secret_until": None}
        body = api.post(f"{page}rotate-secret/").json()
        row.refresh_from_db()
        assert body["secret"] == row.secret != old == row.previous_secret
        assert body["previous_secret_until"]
        assert api.get(f"{page}secret/").json() == body


def test_a_test_event_is_sent_one_at_a_time(api: APIClient, alice: User, problem: Problem) -> None:
    endpoint = EndpointFactory.create(user=alice)
    page = f"{WEBHOOKS}{endpoint.pk}/test/"
    first = api.post(page)
    assert first.status_code == 202
    assert first.json()["payload"]["type"] == first.json()["event"] == "webhook.test"
    assert api.post(page).json()["id"] == first.json()["id"]
    Endpoint.objects.update(disabled_at="2026-11-26T00:00Z", disabled_reason="gone")
    problem(api.post(page), 409, "conflict")


def test_the_log_says_what_happened(api: APIClient, alice: User) -> None:
    log = {"at": "2026-11-26T01:02:03Z", "status_code": 500, "duration_ms": 7, "error": "", "body": "no"}
    endpoint = EndpointFactory.create(user=alice)
    delivery = WebhookDeliveryFactory.create(endpoint=endpoint, attempts=[log])
    own = WebhookDeliveryFactory.create(endpoint=None, user=alice, url=URL, channel=f"user:{alice.pk}")

    listed = api.get(f"{WEBHOOKS}{endpoint.pk}/deliveries/").json()["results"]
    [body] = listed
    assert body["id"] == delivery.pk
    assert body["webhook_id"] == f"msg_{delivery.webhook_id.hex}"
    assert (body["webhook"], body["url"], body["status"]) == (endpoint.pk, endpoint.url, "pending")
    assert body["attempts"] == [log]
    assert body["next_attempt_at"]
    assert body["payload"]["data"] == {"id": 1}
    assert api.get(f"{WEBHOOKS}{endpoint.pk}/deliveries/{delivery.pk}/").json() == body
    everything = api.get(f"{WEBHOOKS}deliveries/").json()["results"]
    assert [(row["id"], row["webhook"], row["url"]) for row in everything] == [
        (own.pk, None, URL),
        (delivery.pk, endpoint.pk, endpoint.url),
    ]


@pytest.mark.parametrize("status", ["delivered", "failed", "cancelled"])
@pytest.mark.parametrize("of_the_webhook", [True, False])
def test_what_has_ended_is_sent_again(status: str, of_the_webhook: bool, api: APIClient, alice: User) -> None:
    delivery = WebhookDeliveryFactory.create(
        endpoint__user=alice, status=status, failure="x", tries=9, finished_at="2026-11-26T00:00Z"
    )
    prefix = f"{WEBHOOKS}{delivery.endpoint_id}/" if of_the_webhook else WEBHOOKS

    answer = api.post(f"{prefix}deliveries/{delivery.pk}/redeliver/")

    assert answer.status_code == 202
    assert answer.json()["webhook_id"] == delivery.message_id
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries, delivery.failure) == ("pending", 0, "")
    assert delivery.finished_at is None


def test_what_has_not_ended_or_has_nowhere_to_go_is_not(
    api: APIClient, alice: User, problem: Problem
) -> None:
    endpoint = EndpointFactory.create(user=alice)
    page = f"{WEBHOOKS}{endpoint.pk}/deliveries/"
    for status in (DeliveryStatus.PENDING, DeliveryStatus.SENDING):
        delivery = WebhookDeliveryFactory.create(endpoint=endpoint, status=status)
        problem(api.post(f"{page}{delivery.pk}/redeliver/"), 409, "conflict")
    Endpoint.objects.update(disabled_at="2026-11-26T00:00Z", disabled_reason="gone")
    Delivery.objects.update(status="failed", lease_token=None, slot=None, finished_at="2026-11-26T00:00Z")
    problem(api.post(f"{page}{delivery.pk}/redeliver/"), 409, "conflict")


def pages(endpoint: Endpoint, delivery: Delivery) -> list[tuple[str, str]]:
    """Return every method and address that is about one webhook or delivery."""
    one = f"{WEBHOOKS}{endpoint.pk}/"
    return [
        *[(method, one) for method in ("get", "patch", "delete")],
        *[("get", f"{one}{name}/") for name in ("secret", "deliveries", f"deliveries/{delivery.pk}")],
        *[("post", f"{one}{name}/") for name in ("rotate-secret", "test")],
        ("post", f"{one}deliveries/{delivery.pk}/redeliver/"),
        ("get", f"{WEBHOOKS}deliveries/{delivery.pk}/"),
        ("post", f"{WEBHOOKS}deliveries/{delivery.pk}/redeliver/"),
    ]


def test_a_stranger_finds_nothing(alice: User, charlie_key: str, problem: Problem) -> None:
    delivery = WebhookDeliveryFactory.create(endpoint__user=alice)
    stranger = api_client(charlie_key)
    for method, page in pages(delivery.endpoint, delivery):
        problem(getattr(stranger, method)(page), 404, "not_found")
    assert stranger.get(WEBHOOKS).json()["results"] == []
    assert stranger.get(f"{WEBHOOKS}deliveries/").json()["results"] == []
    assert Endpoint.objects.count() == Delivery.objects.count() == 1


def test_a_delivery_is_found_under_its_own_webhook_alone(api: APIClient, alice: User) -> None:
    delivery = WebhookDeliveryFactory.create(endpoint__user=alice)
    other = EndpointFactory.create(user=alice)
    assert api.get(f"{WEBHOOKS}{other.pk}/deliveries/{delivery.pk}/").status_code == 404
    assert api.get(f"{WEBHOOKS}{other.pk}/deliveries/").json()["results"] == []


def test_a_key_that_may_only_read_reads_no_secret(alice: User, problem: Problem) -> None:
    delivery = WebhookDeliveryFactory.create(endpoint__user=alice)
    reader, payer = key_with(alice, Scope.READ), key_with(alice, Scope.READ, Scope.PAY)
    for method, page in [*pages(delivery.endpoint, delivery), ("get", f"{WEBHOOKS}secret/")]:
        is_read = method == "get" and not page.endswith("/secret/")
        for client in (reader, payer):
            answer = getattr(client, method)(page)
            if is_read:
                assert answer.status_code == 200
            else:
                problem(answer, 403, "forbidden")
    problem(reader.post(WEBHOOKS, {"url": URL}), 403, "forbidden")
    problem(reader.post(f"{WEBHOOKS}rotate-secret/"), 403, "forbidden")


def test_a_key_for_editing_manages_webhooks(alice: User) -> None:
    editor = key_with(alice, Scope.EDIT)
    made = editor.post(WEBHOOKS, {"url": URL}).json()
    assert editor.get(f"{WEBHOOKS}{made['id']}/secret/").json()["secret"] == made["secret"]
    assert editor.get(WEBHOOKS).status_code == 403
