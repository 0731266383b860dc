"""Sending what the outbox holds, and what each answer means.

    2xx                 delivered
    410                 the endpoint is disabled: its owner wants no more
    anything else       tried again after growing pauses for a day; `Retry-After` may make a pause longer
    nothing but that    for FAILING_FOR: the endpoint is disabled

Threads of our own do it, not Celery's: those follow edits, and a receiver may take its time. While an answer
is waited for, no connection to the database is held.
"""

from __future__ import annotations

import random
import threading
import time
from contextvars import copy_context
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import structlog
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from webhooks import gateway, outbox, signing
from webhooks.addresses import AddressRefused
from webhooks.gateway import Answer, NoAnswer
from webhooks.models import Delivery, DeliveryStatus, DisabledReason, Endpoint, JobUrlSecret
from webhooks.outbox import LeaseLost
from webhooks.services import disable_endpoint

logger = structlog.get_logger(__name__)

THREADS = 12  # of one worker, each waiting for a receiver
MINUTE, HOUR = 60, 3600
PAUSES = (5, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 8 * HOUR, 8 * HOUR)  # 23.6 hours in all
LONGEST_RETRY_AFTER = 2 * HOUR
FAILING_FOR = timedelta(days=5)
LONGEST_EXCERPT = 500
USER_AGENT = "QwenEdit-Webhooks/1"

stopping = threading.Event()
_threads = threading.BoundedSemaphore(THREADS)


@worker_shutting_down.connect
def _stop(**_signal: object) -> None:
    stopping.set()


def start(count: int) -> None:
    """Begin to send in up to `count` more threads; whoever finds nothing to send ends."""
    for _ in range(count):
        if stopping.is_set() or not _threads.acquire(blocking=False):
            return  # enough are at it: they will find what is new
        context = copy_context()
        # As a daemon: a worker that is to end does not wait for a receiver. The lease runs out, and the
        # delivery is sent again under the same id.
        threading.Thread(target=context.run, args=(_run,), name="webhooks", daemon=True).start()


def _run() -> None:
    try:
        while True:
            try:
                send_due()
            finally:
                _threads.release()
            # What came while this thread was leaving may have found no thread free.
            if stopping.is_set() or not outbox.waiting(most=1) or not _threads.acquire(blocking=False):
                return
    except (OperationalError, InterfaceError):
        logger.warning("Webhooks wait, the database does not answer")
    finally:
        connections.close_all()


def send_due() -> int:
    """Send what is due, one after another, until nothing is; return how many deliveries were taken."""
    taken = 0
    while not stopping.is_set() and (delivery := outbox.claim()):
        taken += 1
        with structlog.contextvars.bound_contextvars(
            request_id=f"webhook-{delivery.pk}", webhook_id=delivery.message_id, user_id=delivery.user_id
        ):
            try:
                _send(delivery)
            except LeaseLost:
                logger.warning("Webhook was taken over by somebody else, or deleted")
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                logger.exception("Webhook failed by a mistake of ours")
                _fail(delivery, None, {"at": timezone.now(), "error": "A mistake of ours."})
    return taken


def _send(delivery: Delivery) -> None:
    at = timezone.now()
    if delivery.endpoint and not delivery.endpoint.enabled:  # disabled while this one was being sent before
        outbox.cancel(delivery, "The webhook is disabled.")
        return
    payload = delivery.payload.encode()
    headers = signing.headers(
        webhook_id=delivery.message_id,
        timestamp=int(at.timestamp()),
        payload=payload,
        signed_with=_secrets(delivery, at),
    )
    headers |= {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    connections.close_all()
    began = time.monotonic()
    answer: Answer | None = None
    error = ""
    try:
        answer = gateway.post(
            delivery.target, payload, headers, allow_private=settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS
        )
    except AddressRefused as refusal:
        error = refusal.message
    except NoAnswer as trouble:
        error = str(trouble)
    attempt: dict[str, Any] = {
        "at": at,
        "duration_ms": round((time.monotonic() - began) * 1000),
        "status_code": answer.status if answer else None,
        "body": answer.body[:LONGEST_EXCERPT] if answer else "",
        "error": error,
    }
    if answer is not None and 200 <= answer.status < 300:
        outbox.finish(delivery, DeliveryStatus.DELIVERED, **attempt)
        _note_success(delivery.endpoint)
        logger.info("Webhook delivered", tries=delivery.tries, ms=attempt["duration_ms"])
    elif answer is not None and answer.status == 410:
        outbox.finish(delivery, DeliveryStatus.FAILED, failure="It answered 410 Gone.", **attempt)
        if delivery.endpoint:
            disable_endpoint(endpoint=delivery.endpoint, reason=DisabledReason.GONE)
    else:
        _fail(delivery, answer, attempt)


def _fail(delivery: Delivery, answer: Answer | None, attempt: dict[str, Any]) -> None:
    reason = attempt["error"] or f"It answered {attempt['status_code']}."
    seconds = pause(delivery.tries, answer.retry_after if answer else "", now=attempt["at"])
    is_last = seconds is None or attempt["at"] + timedelta(seconds=seconds) > delivery.gives_up_at
    logger.warning("Webhook failed", reason=reason, tries=delivery.tries, again=not is_last)
    if seconds is None or is_last:
        outbox.finish(delivery, DeliveryStatus.FAILED, failure=reason, **attempt)
    else:
        outbox.postpone(delivery, seconds, **attempt)
    _note_failure(delivery.endpoint, attempt["at"])


def pause(tries: int, retry_after: str, *, now: datetime) -> float | None:
    """Return the seconds to the next try after so many, with jitter; None after the last one."""
    if tries > len(PAUSES):
        return None
    usual = PAUSES[tries - 1] * random.uniform(0.85, 1.0)  # noqa: S311  (jitter, no secret)
    return max(usual, min(_seconds(retry_after, now), LONGEST_RETRY_AFTER))


def _seconds(retry_after: str, now: datetime) -> float:
    """Return what a Retry-After says, in seconds; 0 where it says nothing."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return (moment - now).total_seconds() if moment.tzinfo else 0.0


def _secrets(delivery: Delivery, now: datetime) -> list[str]:
    if delivery.endpoint:
        return delivery.endpoint.secrets(now)
    secret, _created = JobUrlSecret.objects.get_or_create(user_id=delivery.user_id)
    return secret.secrets(now)


def _note_success(endpoint: Endpoint | None) -> None:
    if endpoint and endpoint.failing_since:
        Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=None)


def _note_failure(endpoint: Endpoint | None, at: datetime) -> None:
    if endpoint is None:
        return
    if endpoint.failing_since is None:
        Endpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=at)
    elif at - endpoint.failing_since > FAILING_FOR:
        disable_endpoint(endpoint=endpoint, reason=DisabledReason.FAILING)
