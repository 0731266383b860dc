"""News of edits, money and friends: owed to chats in the transaction that causes it, and how it is told."""

import pytest
from django.db import transaction

from botapp.models import Chat, Delivery, Lane, Order
from botapp.outbox import sending
from jobs.models import Job
from jobs.services import cancel_job
from jobs.signals import tell_end
from jobs.states import JobStatus
from payments.models import LedgerEntry, PaymentStatus
from payments.services import confirm_payment
from payments.signals import payment_refunded
from qwenedit.users.models import Referral, User
from tests.factories import ChatFactory, JobFactory, OrderFactory, PaymentFactory, RefundFactory, UserFactory
from tests.telegram import Telegram

pytestmark = pytest.mark.django_db(transaction=True)


def ordered_job(chat: Chat, **fields: object) -> tuple[Order, Job]:
    """Return an order and its job, that nobody has linked yet."""
    order = OrderFactory.create(chat=chat)
    fields = {"user": chat.user, "idempotency_key": f"telegram:{order.key}", **fields}
    return order, JobFactory.create(**fields)


def test_the_end_of_an_edit_is_owed_to_the_chat_that_ordered_it() -> None:
    order, job = ordered_job(ChatFactory.create())

    cancel_job(job=job)
    cancel_job(job=job)

    [delivery] = Delivery.objects.all()
    assert (delivery.kind, delivery.lane, delivery.subject) == ("job", Lane.RESULTS, order.pk)
    assert (delivery.chat_id, delivery.key) == (order.chat_id, f"job:{job.pk}:finished")
    order.refresh_from_db()
    assert (order.status, order.job, order.next_try_at) == ("submitted", job, None)


def test_nothing_is_owed_for_an_end_that_was_rolled_back() -> None:
    order, job = ordered_job(ChatFactory.create())

    with transaction.atomic():
        cancel_job(job=job)
        transaction.set_rollback(True)

    assert not Delivery.objects.exists()
    order.refresh_from_db()
    assert order.job is None


@pytest.mark.parametrize("key", [None, "shop-1", "telegram:update:987654"])
def test_an_edit_that_no_chat_ordered_is_told_to_none(key: str | None) -> None:
    chat = ChatFactory.create()

    cancel_job(job=JobFactory.create(user=chat.user, idempotency_key=key))

    assert not Delivery.objects.exists()


def test_a_key_that_somebody_else_made_up_opens_no_chat() -> None:
    """A client of the API may send any idempotency key, also that of an order of somebody else's."""
    order = OrderFactory.create()
    stranger = UserFactory.create()

    cancel_job(job=JobFactory.create(user=stranger, idempotency_key=f"telegram:{order.key}"))

    assert not Delivery.objects.exists()
    order.refresh_from_db()
    assert order.job is None


def test_a_payment_is_told_with_its_points_and_the_balance(telegram: Telegram, alice_chat: Chat) -> None:
    payment = PaymentFactory.create(user=alice_chat.user, gateway_id=None, status=PaymentStatus.PENDING)

    assert confirm_payment(payment_id=payment.pk, remote_id="remote-1")
    assert not confirm_payment(payment_id=payment.pk, remote_id="remote-1")
    sending.send_due()

    assert telegram.words(alice_chat.pk) == [
        "✅ Your payment arrived: +1000 points. You have 1060 points now."
    ]
    [button] = telegram.said(alice_chat.pk)[0]["buttons"][0]
    assert button["data"] == "menu"
    [delivery] = Delivery.objects.all()
    assert (delivery.lane, delivery.key) == (Lane.MONEY, f"payment:{payment.pk}")


def test_somebody_without_a_chat_is_owed_nothing(alice: User) -> None:
    payment = PaymentFactory.create(user=alice, gateway_id=None, status=PaymentStatus.PENDING)

    assert confirm_payment(payment_id=payment.pk, remote_id="remote-1")

    assert not Delivery.objects.exists()


def test_a_refund_is_told_with_its_sum_and_its_points(
    telegram: Telegram, bob_chat: Chat, alice_chat: Chat
) -> None:
    for chat in (alice_chat, bob_chat):
        payment = PaymentFactory.create(user=chat.user, status=PaymentStatus.SUCCEEDED)
        refund = RefundFactory.create(payment=payment, amount=5050, points=505)
        payment_refunded.send(sender=type(refund), refund=refund)
    sending.send_due()

    assert telegram.words(alice_chat.pk) == [
        "↩️ 50.50 ₽ went back the way it came, and 505 points were taken for it. You have 555 points now."
    ]
    assert telegram.words(bob_chat.pk) == [
        "↩️ Вернули 50.50 ₽ тем же способом, каким вы платили; за них списано 505 баллов. "
        "Теперь у вас 555 баллов."
    ]


class TestAnInvitation:
    @pytest.fixture
    def invited(self, alice_chat: Chat, bob_chat: Chat) -> Referral:
        """bob was invited by alice."""
        return Referral.objects.create(inviter=alice_chat.user, friend=bob_chat.user)

    def test_is_rewarded_by_the_first_edit_and_told_to_both(
        self, telegram: Telegram, invited: Referral, alice_chat: Chat, bob_chat: Chat
    ) -> None:
        for _edit in range(2):
            job = JobFactory.create(user=bob_chat.user, status=JobStatus.SUCCEEDED, price=0)
            with transaction.atomic():
                tell_end(job)
        sending.send_due()

        assert telegram.words(bob_chat.pk) == [
            "👥 Первая правка удалась, и приглашение сработало: +30 баллов. Теперь у вас 90 баллов."
        ]
        assert telegram.words(alice_chat.pk) == [
            "👥 The friend you invited made a first edit: +30 points. You have 90 points now."
        ]
        assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.REFERRAL).count() == 2

    def test_is_not_rewarded_by_an_edit_that_failed(self, invited: Referral) -> None:
        job = JobFactory.create(user=invited.friend, status=JobStatus.FAILED)
        with transaction.atomic():
            tell_end(job)

        assert not Delivery.objects.exists()
        assert not LedgerEntry.objects.filter(kind=LedgerEntry.Kind.REFERRAL).exists()

    def test_is_told_to_the_friend_alone_where_the_inviter_is_blocked(self, invited: Referral) -> None:
        User.objects.filter(pk=invited.inviter_id).update(is_blocked=True)
        job = JobFactory.create(user=invited.friend, status=JobStatus.SUCCEEDED)
        with transaction.atomic():
            tell_end(job)

        assert list(Delivery.objects.values_list("kind", "chat_id")) == [
            ("referral", invited.friend.telegram_id)
        ]
