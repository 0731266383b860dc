"""Builders of rows, through the services that own them: an audit of what they build finds nothing.

A job that a factory builds is charged, and refunded where its status says so; `Job` and `Attempt` rows come
in any state without a runner having been there.
"""

import uuid
from datetime import timedelta
from typing import Any

import factory
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from factory.django import DjangoModelFactory

from botapp.models import Article, Broadcast, Chat, Delivery, IncomingUpdate, Lane, Order
from jobs.models import Attempt, Category, Job, JobImage, Node, Preset
from jobs.states import FINAL, AttemptStatus, JobStatus
from payments import ledger
from payments.models import (
    Discrepancy,
    LedgerEntry,
    Notification,
    Package,
    Payment,
    PaymentStatus,
    PromoCode,
    Refund,
    RefundStatus,
)
from qwenedit.users.models import User
from webhooks.models import Delivery as WebhookDelivery
from webhooks.models import Endpoint


class UserFactory(DjangoModelFactory[User]):
    """A user with their welcome points; `balance=N` grants or takes what is missing to N."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")
    telegram_id = factory.Sequence(lambda n: 5_000_000_000 + n)  # beyond 32 bits, as Telegram's are

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **fields: Any) -> User:
        balance = fields.pop("balance", None)
        password = fields.pop("password", None)
        user = model_class(*args, **fields)
        if password is None:
            user.set_unusable_password()
        else:
            user.set_password(password)
        user.save()
        if balance is not None and balance != user.balance:
            give_points(user, balance - user.balance)
        return user


class CategoryFactory(DjangoModelFactory[Category]):
    """A shelf of the catalogue."""

    class Meta:
        model = Category

    slug = factory.Sequence(lambda n: f"category-{n}")
    title_ru = factory.Sequence(lambda n: f"Раздел {n}")
    title_en = factory.Sequence(lambda n: f"Category {n}")


class PresetFactory(DjangoModelFactory[Preset]):
    """A preset for one photo at the usual price."""

    class Meta:
        model = Preset

    slug = factory.Sequence(lambda n: f"preset-{n}")
    category = factory.SubFactory(CategoryFactory)
    title_ru = factory.Sequence(lambda n: f"Стиль {n}")
    title_en = factory.Sequence(lambda n: f"Style {n}")
    prompt = "Turn the photo into a pencil sketch"


class NodeFactory(DjangoModelFactory[Node]):
    """A node at an address where nobody listens."""

    class Meta:
        model = Node

    name = factory.Sequence(lambda n: f"node-{n}")
    url = factory.Sequence(lambda n: f"http://127.0.0.1:9/{n}")


class JobFactory(DjangoModelFactory[Job]):
    """A job in any status, paid for; with a running attempt or a result where the status needs one."""

    class Meta:
        model = Job
        skip_postgeneration_save = True

    user = factory.SubFactory(UserFactory)
    prompt = "make it black and white"
    seed = factory.Sequence(lambda n: n)
    price = factory.LazyFunction(lambda: settings.EDIT_COST)

    @classmethod
    def _create(cls, model_class: type[Job], *args: Any, **fields: Any) -> Job:
        now = timezone.now()
        status = fields.get("status", JobStatus.QUEUED)
        if status == JobStatus.RUNNING:
            fields.setdefault("lease_token", uuid.uuid4())
            fields.setdefault("lease_until", now + settings.JOB_LEASE)
        if status != JobStatus.QUEUED:
            fields.setdefault("started_at", now)
        if status in FINAL:
            fields.setdefault("finished_at", now)
        if status == JobStatus.SUCCEEDED:
            fields.setdefault("progress", 100)
        job = model_class.objects.create(*args, **fields)
        ledger.charge_job(user_id=job.user_id, job_id=job.pk, points=job.price, description="Edit")
        if status in (JobStatus.FAILED, JobStatus.CANCELLED):
            ledger.refund_job(
                user_id=job.user_id, job_id=job.pk, points=job.price, reason=f"Job {job.pk} {status}"
            )
        elif status == JobStatus.RUNNING:
            AttemptFactory.create(job=job)
        elif status == JobStatus.SUCCEEDED:
            AttemptFactory.create(job=job, status=AttemptStatus.SUCCEEDED, finished_at=now)
            JobImageFactory.create(job=job, role=JobImage.Role.RESULT)
        return job


class AttemptFactory(DjangoModelFactory[Attempt]):
    """An attempt that is on its node now, unless its status says otherwise."""

    class Meta:
        model = Attempt

    job = factory.SubFactory(JobFactory)
    node = factory.SubFactory(NodeFactory)
    number = factory.LazyAttribute(lambda attempt: attempt.job.attempts.count() + 1)


class JobImageFactory(DjangoModelFactory[JobImage]):
    """A picture of a job, with a small file in the storage that is no real picture."""

    class Meta:
        model = JobImage

    job = factory.SubFactory(JobFactory)
    role = JobImage.Role.INPUT
    position = 1
    file = factory.Sequence(lambda n: default_storage.save(f"tests/{n}.png", ContentFile(b"picture")))
    width = 8
    height = 8
    bytes = 7
    sha256 = "5b" * 32


class PaymentFactory(DjangoModelFactory[Payment]):
    """A top-up of 100 rubles in any status, credited where it succeeded."""

    class Meta:
        model = Payment

    user = factory.SubFactory(UserFactory)
    gateway = Payment.Gateway.YOOKASSA
    method = Payment.Method.CARD
    amount = 10_000
    points = 1000
    gateway_id = factory.Sequence(lambda n: f"payment-{n}")

    @classmethod
    def _create(cls, model_class: type[Payment], *args: Any, **fields: Any) -> Payment:
        payment = model_class.objects.create(*args, **fields)
        if payment.status == PaymentStatus.SUCCEEDED:
            ledger.post(
                user_id=payment.user_id,
                amount=payment.points,
                kind=LedgerEntry.Kind.PAYMENT,
                key=f"payment:{payment.pk}",
            )
        return payment


class RefundFactory(DjangoModelFactory[Refund]):
    """A refund of 10 rubles in any status, with the points taken, and returned where it was canceled."""

    class Meta:
        model = Refund

    payment = factory.SubFactory(PaymentFactory, status=PaymentStatus.SUCCEEDED)
    amount = 1000
    points = 100
    reason = "A test"

    @classmethod
    def _create(cls, model_class: type[Refund], *args: Any, **fields: Any) -> Refund:
        refund = model_class.objects.create(*args, **fields)
        movements = {"": -refund.points}
        if refund.status == RefundStatus.CANCELED:
            movements[":returned"] = refund.points
        for end, points in movements.items():
            ledger.post(
                user_id=refund.payment.user_id,
                amount=points,
                kind=LedgerEntry.Kind.PAYMENT_REFUND,
                key=f"refund:{refund.pk}{end}",
            )
        return refund


class NotificationFactory(DjangoModelFactory[Notification]):
    """A notification that waits in the inbox, about a payment that is not there."""

    class Meta:
        model = Notification

    gateway = Payment.Gateway.YOOKASSA
    event = "payment.succeeded"
    object_id = factory.LazyFunction(lambda: str(uuid.uuid4()))
    address = "185.71.76.1"
    body = "{}"


class DiscrepancyFactory(DjangoModelFactory[Discrepancy]):
    """A discrepancy that nobody has resolved yet."""

    class Meta:
        model = Discrepancy

    kind = Discrepancy.Kind.MISMATCH
    gateway_id = factory.LazyFunction(lambda: str(uuid.uuid4()))
    detail = "amount 100 kopeks instead of 10000"


class PackageFactory(DjangoModelFactory[Package]):
    """A package on offer, of a sum that no other has."""

    class Meta:
        model = Package

    rubles = factory.Sequence(lambda n: 2_001 + n)
    bonus_percent = 10


class PromoCodeFactory(DjangoModelFactory[PromoCode]):
    """A code worth 50 points, once for each user."""

    class Meta:
        model = PromoCode

    code = factory.Sequence(lambda n: f"CODE-{n}")
    points = 50


class ChatFactory(DjangoModelFactory[Chat]):
    """The chat of somebody who has started the bot; Telegram knows nothing of it."""

    class Meta:
        model = Chat

    user = factory.SubFactory(UserFactory)
    id = factory.SelfAttribute("user.telegram_id")


class OrderFactory(DjangoModelFactory[Order]):
    """An order in one's own words, accepted a moment ago."""

    class Meta:
        model = Order

    chat = factory.SubFactory(ChatFactory)
    key = factory.Sequence(lambda n: f"update:{n}")
    prompt = "make it black and white"


class IncomingUpdateFactory(DjangoModelFactory[IncomingUpdate]):
    """An update that waits to be answered."""

    class Meta:
        model = IncomingUpdate

    id = factory.Sequence(lambda n: 700_000 + n)
    chat_id = factory.Sequence(lambda n: 5_000_000_000 + n)
    body = factory.LazyFunction(dict)
    next_try_at = factory.LazyFunction(timezone.now)


class DeliveryFactory(DjangoModelFactory[Delivery]):
    """A delivery that waits, about a payment that is not there."""

    class Meta:
        model = Delivery

    chat_id = factory.Sequence(lambda n: 5_000_000_000 + n)
    lane = Lane.MONEY
    kind = "payment"
    subject = 987_654
    key = factory.Sequence(lambda n: f"test:{n}")


class BroadcastFactory(DjangoModelFactory[Broadcast]):
    """A draft of a message to everybody."""

    class Meta:
        model = Broadcast

    title = factory.Sequence(lambda n: f"News {n}")
    text_ru = "<b>Новости</b>"
    text_en = "<b>News</b>"


class ArticleFactory(DjangoModelFactory[Article]):
    """An article of the staff's own."""

    class Meta:
        model = Article

    slug = factory.Sequence(lambda n: f"article-{n}")
    title_ru = factory.Sequence(lambda n: f"Статья {n}")
    title_en = factory.Sequence(lambda n: f"Article {n}")
    body_ru = "<b>Коротко</b> и по делу."
    body_en = "<b>Short</b> and to the point."
    is_customised = True


class EndpointFactory(DjangoModelFactory[Endpoint]):
    """An endpoint that hears of everything, at an address where nobody listens."""

    class Meta:
        model = Endpoint

    user = factory.SubFactory(UserFactory)
    url = factory.Sequence(lambda n: f"http://127.0.0.1:9/hooks/{n}")


class WebhookDeliveryFactory(DjangoModelFactory[WebhookDelivery]):
    """A delivery to an endpoint that is due, or in any other status."""

    class Meta:
        model = WebhookDelivery

    endpoint = factory.SubFactory(EndpointFactory)
    user = factory.SelfAttribute("endpoint.user")
    channel = factory.LazyAttribute(lambda delivery: f"endpoint:{delivery.endpoint.pk}")
    event = "job.succeeded"
    payload = '{"type":"job.succeeded","timestamp":"2026-11-26T01:02:03Z","data":{"id":1}}'
    gives_up_at = factory.LazyFunction(lambda: timezone.now() + timedelta(hours=24))

    @classmethod
    def _create(cls, model_class: type[WebhookDelivery], *args: Any, **fields: Any) -> WebhookDelivery:
        if fields.get("status") == "sending":
            fields = {
                "lease_token": uuid.uuid4(),
                "slot": 0,
                "next_attempt_at": timezone.now() + timedelta(minutes=1),
                **fields,
            }
        return model_class.objects.create(*args, **fields)


def give_points(user: User, points: int) -> None:
    """Move points as staff would, and show them on `user`."""
    count = user.ledger_entries.count()
    posting = ledger.grant(user_id=user.pk, points=points, key=f"test:{user.pk}:{count}", reason="A test")
    user.balance = posting.entry.balance_after
