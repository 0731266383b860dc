"""What is owed for the end of an edit: written with it, to whom it concerns, in the words of the API."""

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from jobs import erasure
from jobs.models import Job
from jobs.services import cancel_job
from jobs.signals import tell_end
from jobs.states import JobStatus
from qwenedit.lib.compiled import together
from qwenedit.users.models import User
from tests.factories import EndpointFactory, JobFactory, PresetFactory
from tests.webhooks.receiver import Receiver, verified
from webhooks import receivers, sending
from webhooks.models import Delivery, Endpoint, JobUrlSecret
from webhooks.payloads import job_data
from webhooks.services import job_url_secret

pytestmark = pytest.mark.django_db(transaction=True)


def finish(user: User, status: JobStatus = JobStatus.SUCCEEDED, **fields: Any) -> Job:
    """End an edit of a user's in a status, with the news of it."""
    job = JobFactory.create(user=user, status=status, **fields)
    with transaction.atomic():
        tell_end(job)
    return job


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
@pytest.mark.parametrize("preset", [True, False])
def test_the_data_is_what_the_api_answers(
    status: JobStatus, preset: bool, alice: User, api: APIClient, settings: Any
) -> None:
    settings.PUBLIC_URL = "http://testserver"
    fields: dict[str, Any] = {"preset": PresetFactory.create()} if preset else {}
    if status == JobStatus.FAILED:
        fields |= {"error_code": "out_of_memory", "error_message": "The GPU ran out of memory."}
    job = JobFactory.create(user=alice, status=status, **fields)

    assert job_data(Job.objects.get(pk=job.pk)) == api.get(f"/api/v1/jobs/{job.pk}/").json()


def test_an_endpoint_hears_what_it_subscribed_to(alice: User) -> None:
    everything = EndpointFactory.create(user=alice)
    failures = EndpointFactory.create(user=alice, events=["job.failed", "job.cancelled"])
    finish(alice)
    finish(alice, JobStatus.FAILED)

    assert list(Delivery.objects.order_by("id").values_list("endpoint", "event")) == [
        (everything.pk, "job.succeeded"),
        (failures.pk, "job.failed"),
        (everything.pk, "job.failed"),
    ]


def test_nobody_hears_of_the_edits_of_others(alice: User, bob: User) -> None:
    EndpointFactory.create(user=bob)
    finish(alice)
    assert not Delivery.objects.exists()


def test_an_endpoint_that_is_disabled_is_owed_nothing(alice: User) -> None:
    EndpointFactory.create(user=alice, disabled_at="2026-11-26T00:00Z", disabled_reason="owner")
    finish(alice)
    assert not Delivery.objects.exists()


def test_nothing_is_owed_for_an_end_that_was_rolled_back(alice: User) -> None:
    EndpointFactory.create(user=alice)
    job = JobFactory.create(user=alice)
    with transaction.atomic():
        cancel_job(job=job)
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()


def test_whoever_has_no_endpoint_pays_one_look_for_it(alice: User) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    asking = receivers.job_finished(job=job)
    [endpoints] = together(next(asking))
    with CaptureQueriesContext(connection) as queries, pytest.raises(StopIteration):
        asking.send(endpoints)
    assert len(queries) == 0


def test_the_address_of_an_edit_is_told_under_the_secret_of_its_owner(
    alice: User, receiver: Receiver
) -> None:
    job = finish(alice, webhook_url=receiver.url)
    sending.send_due()

    [request] = receiver.received
    assert request.body["data"]["id"] == job.pk
    assert verified(request, job_url_secret(user=alice).secret)
    assert Delivery.objects.get().status == "delivered"


def test_an_address_that_is_an_endpoint_too_is_told_once(endpoint: Endpoint, receiver: Receiver) -> None:
    finish(endpoint.user, webhook_url=endpoint.url)
    sending.send_due()
    [request] = receiver.received
    assert verified(request, endpoint.secret)


def test_what_is_sent_is_what_was_true_at_the_event(endpoint: Endpoint, receiver: Receiver) -> None:
    job = finish(endpoint.user, prompt="make it <b>blue</b> – сделай синим")
    Job.objects.filter(pk=job.pk).update(prompt="")
    sending.send_due()
    assert receiver.received[0].body["data"]["prompt"] == "make it <b>blue</b> – сделай синим"


def test_whoever_wants_their_data_deleted_loses_addresses_secrets_and_what_was_told(
    endpoint: Endpoint, bob: User
) -> None:
    theirs = EndpointFactory.create(user=bob)
    finish(bob)
    alice = endpoint.user
    finish(alice, prompt="a secret wish")
    job_url_secret(user=alice)
    # Cancelled by the erasure, and the news of it deleted with the rest.
    JobFactory.create(user=alice, webhook_url="http://127.0.0.1:9/own")

    erasure.erase(alice)

    assert list(Endpoint.objects.all()) == [theirs]
    assert [delivery.user for delivery in Delivery.objects.all()] == [bob]
    assert not JobUrlSecret.objects.exists()
    assert not Job.objects.filter(user=alice).exclude(webhook_url="").exists()
