"""Writes about endpoints and secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from qwenedit.errors import DomainError
from qwenedit.users.models import User
from webhooks import gateway, outbox
from webhooks.addresses import AddressRefused
from webhooks.models import (
    TEST_EVENT,
    Delivery,
    DisabledReason,
    Endpoint,
    JobUrlSecret,
    SigningSecret,
)
from webhooks.payloads import payload
from webhooks.signing import new_secret

logger = structlog.get_logger(__name__)

MOST_ENDPOINTS = 10
PREVIOUS_SECRET_SIGNS = timedelta(hours=24)


class TooManyEndpoints(DomainError):
    """The user has as many webhooks as one user may have."""

    code: ClassVar[str] = "conflict"
    status: ClassVar[int] = 409


class EndpointDisabled(DomainError):
    """Nothing is sent to a webhook that is disabled."""

    code: ClassVar[str] = "conflict"
    status: ClassVar[int] = 409


def check_url(url: str, *, field: str = "url") -> None:
    """Raise AddressRefused, with the problem under `field`, where nothing would be sent to a URL."""
    try:
        gateway.check_url(url, allow_private=settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS)
    except AddressRefused as refusal:
        raise AddressRefused(f"{field}: {refusal.message}", errors={field: [refusal.message]}) from refusal


def create_endpoint(
    *, user: User, url: str, description: str = "", events: Sequence[str] = (), enabled: bool = True
) -> Endpoint:
    """Make an endpoint with a secret of its own. Raises AddressRefused and TooManyEndpoints."""
    check_url(url)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # the lock of the limit
        if Endpoint.objects.filter(user=user).count() >= MOST_ENDPOINTS:
            raise TooManyEndpoints(f"You have {MOST_ENDPOINTS} webhooks already.", limit=MOST_ENDPOINTS)
        endpoint = Endpoint.objects.create(
            user=user,
            url=url,
            description=description,
            events=list(dict.fromkeys(events)),
            disabled_at=None if enabled else timezone.now(),
            disabled_reason="" if enabled else DisabledReason.OWNER,
        )
    logger.info("Webhook created", endpoint_id=endpoint.pk, user_id=user.pk)
    return endpoint


def change_endpoint(*, endpoint: Endpoint, enabled: bool | None = None, **fields: Any) -> Endpoint:
    """Change address, description, events, or whether anything is sent. Raises AddressRefused.

    Enabling makes a new beginning: what it failed at before counts no more.
    """
    if "url" in fields:
        check_url(fields["url"])
    if "events" in fields:
        fields["events"] = list(dict.fromkeys(fields["events"]))
    rows = Endpoint.objects.filter(pk=endpoint.pk)
    with transaction.atomic():
        if fields:
            rows.update(**fields)
        if enabled:
            rows.exclude(disabled_at=None).update(disabled_at=None, disabled_reason="", failing_since=None)
        elif enabled is False:
            disable_endpoint(endpoint=endpoint, reason=DisabledReason.OWNER)
    return rows.get()


def disable_endpoint(*, endpoint: Endpoint, reason: DisabledReason) -> bool:
    """Send nothing more to an endpoint, and cancel what waits for it; return whether that is new."""
    with transaction.atomic():
        is_new = bool(
            Endpoint.objects.enabled()
            .filter(pk=endpoint.pk)
            .update(disabled_at=timezone.now(), disabled_reason=reason)
        )
        if is_new:
            outbox.cancel_for(endpoint, f"The webhook is disabled: {reason.label}.")
    if is_new:
        log = logger.info if reason == DisabledReason.OWNER else logger.warning
        log("Webhook disabled", endpoint_id=endpoint.pk, user_id=endpoint.user_id, reason=str(reason))
    return is_new


def send_test(*, endpoint: Endpoint) -> Delivery:
    """Owe an endpoint an event that means nothing; the one that is underway where there is one.

    Raises EndpointDisabled.
    """
    with transaction.atomic():
        row = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        if not row.enabled:
            raise EndpointDisabled("The webhook is disabled: enable it first.")
        underway = Delivery.objects.unfinished().filter(endpoint=row, event=TEST_EVENT).first()
        if underway is not None:
            return underway
        body = payload(TEST_EVENT, {"webhook": row.pk}, at=timezone.now())
        [delivery] = outbox.owe(user_id=row.user_id, event=TEST_EVENT, payload=body, endpoints=[row])
    return delivery


def job_url_secret(*, user: User) -> JobUrlSecret:
    """Return what signs deliveries to the addresses of a user's edits, made where there is none yet."""
    return JobUrlSecret.objects.get_or_create(user=user)[0]


def rotate_secret(row: SigningSecret) -> None:
    """Give an endpoint or a user a new secret; the one before signs as well for PREVIOUS_SECRET_SIGNS."""
    with transaction.atomic():
        now = type(row)._default_manager.select_for_update().get(pk=row.pk)
        row.previous_secret, row.previous_secret_until = now.secret, timezone.now() + PREVIOUS_SECRET_SIGNS
        row.secret = new_secret()
        row.save(update_fields=["secret", "previous_secret", "previous_secret_until"])
    logger.info("Secret of a webhook rotated", row=str(row.pk), kind=row._meta.model_name)
