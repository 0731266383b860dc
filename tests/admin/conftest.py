"""Staff, their browsers, and a database in which no table of the admin is empty."""

from collections.abc import Callable
from itertools import cycle

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from botapp.models import BroadcastStatus, DeliveryStatus, Lane, OrderStatus
from jobs import node_events, pictures
from jobs.models import Job, JobImage, Node, NodeEvent, Preset
from jobs.states import AttemptStatus, JobStatus
from payments.models import PaymentStatus, RefundStatus
from qwenedit.lib.images import normalise_upload
from qwenedit.users.models import User
from qwenedit.users.services import create_api_key
from tests.factories import (
    ArticleFactory,
    AttemptFactory,
    BroadcastFactory,
    CategoryFactory,
    ChatFactory,
    DeliveryFactory,
    DiscrepancyFactory,
    EndpointFactory,
    IncomingUpdateFactory,
    JobFactory,
    NodeFactory,
    NotificationFactory,
    OrderFactory,
    PackageFactory,
    PaymentFactory,
    PresetFactory,
    PromoCodeFactory,
    RefundFactory,
    UserFactory,
    WebhookDeliveryFactory,
    give_points,
)

SECRET = "hunter2-secret"


def browser(user: User) -> Client:
    """Return a browser in which `user` is signed in."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root(db: None) -> User:
    """A superuser."""
    return UserFactory.create(username="root", is_staff=True, is_superuser=True)


@pytest.fixture
def boss(root: User) -> Client:
    """The superuser's browser."""
    return browser(root)


@pytest.fixture
def staff(db: None) -> Callable[..., Client]:
    """Hire somebody with the permissions named, such as `view_job`, and return their browser."""

    def hire(*codenames: str) -> Client:
        user = UserFactory.create(is_staff=True)
        permissions = list(Permission.objects.filter(codename__in=codenames))
        # Bot and webhooks both have deliveries: such a name gives both.
        assert {permission.codename for permission in permissions} == set(codenames)
        user.user_permissions.set(permissions)
        return browser(user)

    return hire


@pytest.fixture(scope="session")
def photo(sample_photo: bytes) -> bytes:
    """A small real picture, as it is stored."""
    return normalise_upload(sample_photo, max_bytes=len(sample_photo)).data


@pytest.fixture
def furnish(db: None, photo: bytes) -> Callable[[], Job]:
    """Put at least one more row into every table that the admin shows; return a job with pictures."""

    def fill() -> Job:
        user = UserFactory.create(first_name="Dora", last_name="Ford", email="dora@example.org")
        give_points(user, 1_000)
        create_api_key(user=user, name="shop")
        number = User.objects.count()
        Group.objects.create(name=f"support {number}")
        shelf = CategoryFactory.create()
        for _inside in range(3):
            shelf = CategoryFactory.create(parent=shelf)
        preset = PresetFactory.create(category=shelf, icon="🎨")
        node = NodeFactory.create(
            url=f"http://keeper:{SECRET}@gpu-{number}.example:8188",
            is_healthy=False,
            problem=f"GET http://gpu-{number}.example:8188/system_stats: refused",
            version="0.33.1",
            device="cuda:0",
            vram_total=24 << 30,
            vram_free=3 << 30,
        )
        node_events.record(node, NodeEvent.Kind.SILENT, node.problem)
        for status in JobStatus:
            JobFactory.create(user=user, status=status)
        job = JobFactory.create(
            user=user, preset=preset, status=JobStatus.FAILED, error_code="out_of_memory", prompt="night <b>"
        )
        AttemptFactory.create(
            job=job,
            node=node,
            status=AttemptStatus.FAILED,
            error_code="out_of_memory",
            error_detail="Allocation <on> device",
        )
        picture = normalise_upload(photo, max_bytes=len(photo))
        name = pictures.store(JobImage.Role.INPUT, picture, now=job.created_at)
        [row] = pictures.rows(job, JobImage.Role.INPUT, [picture], [name])
        row.save()
        Preset.objects.filter(pk=preset.pk).update(sample_before=name)
        fill_money(user)
        fill_bot(user, job)
        fill_webhooks(user)
        return job

    return fill


def fill_money(user: User) -> None:
    """Put at least one row into every table of money: of `user`, in every status there is."""
    for status in PaymentStatus:
        payment = PaymentFactory.create(user=user, status=status)
        DiscrepancyFactory.create(payment=payment, raw={"id": "<b>"})
    paid = PaymentFactory.create(user=user, status=PaymentStatus.SUCCEEDED)
    for refund in RefundStatus:
        RefundFactory.create(payment=paid, status=refund)
    NotificationFactory.create(body='{"event": "<b>"}')
    PackageFactory.create()
    PromoCodeFactory.create(batch="spring")


def fill_bot(user: User, job: Job) -> None:
    """Put at least one row into every table of the bot: of `user`, in every status there is."""
    chat = ChatFactory.create(user=user)
    ChatFactory.create(gone_at=timezone.now())
    IncomingUpdateFactory.create(chat_id=chat.pk, body={"message": {"text": "<b>"}})
    for order_status in OrderStatus:
        OrderFactory.create(chat=chat, status=order_status, failure="<b>")
    OrderFactory.create(chat=chat, preset=job.preset, job=job, status=OrderStatus.SUBMITTED)
    for broadcast_status in BroadcastStatus:
        broadcast = BroadcastFactory.create(status=broadcast_status, created_by=user)
    BroadcastFactory.create(
        status=BroadcastStatus.SENDING, started_at=timezone.now(), total=3, sent=1, created_by=user
    )
    for lane, delivery_status in zip(cycle(Lane), DeliveryStatus, strict=False):
        DeliveryFactory.create(chat_id=chat.pk, lane=lane, status=delivery_status, failure="<b>")
    DeliveryFactory.create(chat_id=chat.pk, lane=Lane.BULK, kind="broadcast", broadcast=broadcast)
    ArticleFactory.create()


def fill_webhooks(user: User) -> None:
    """Put at least one row into every table of webhooks, in every status there is."""
    EndpointFactory.create(user=user, disabled_at=timezone.now(), disabled_reason="failing")
    endpoint = EndpointFactory.create(user=user, url="https://shop.example/<b>", failing_since=timezone.now())
    log = {"at": "2026-11-26T01:02:03Z", "status_code": 500, "duration_ms": 7, "error": "", "body": "<b>"}
    for status in ("sending", "delivered", "failed", "cancelled", "pending"):
        WebhookDeliveryFactory.create(endpoint=endpoint, status=status, attempts=[log], failure="<b>")
    WebhookDeliveryFactory.create(
        endpoint=None, user=user, url="https://shop.example/hook", channel=f"user:{user.pk}"
    )


@pytest.fixture
def job(furnish: Callable[[], Job]) -> Job:
    """A failed job with an attempt and a picture, in a database without an empty table."""
    return furnish()


@pytest.fixture
def guarded(db: None) -> Node:
    """A node behind a password."""
    return NodeFactory.create(name="guarded", url=f"http://keeper:{SECRET}@gpu.example:8188/comfy")
