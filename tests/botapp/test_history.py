"""What was: edits that are shown again for free, favourites, and where the points went."""

from typing import Any

import pytest
from django.utils import timezone

from botapp.models import Chat, JobMark, Order, OrderStatus
from jobs.models import JobImage
from jobs.states import JobStatus
from payments import ledger
from payments.models import LedgerEntry, Payment, PaymentStatus, RefundStatus
from qwenedit.users.models import User
from tests.botapp.editing import balance
from tests.botapp.talking import Talk
from tests.factories import JobFactory, PaymentFactory, PresetFactory, RefundFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(alice: User, alice_chat: Chat) -> Any:
    """Make a finished order of alice's."""

    def order(**fields: Any) -> Order:
        job = JobFactory.create(user=alice, price=0, status=fields.pop("status", JobStatus.SUCCEEDED))
        defaults = {
            "chat": alice_chat,
            "key": f"test:{job.pk}",
            "job": job,
            "status": OrderStatus.SUBMITTED,
            "prompt": "make it blue",
            "next_try_at": None,
        }
        return Order.objects.create(**defaults | fields)

    return order


def test_a_finished_edit_is_shown_again_without_a_new_one(done: Order, talk: Talk) -> None:
    before = balance(talk)
    talk.do("message", text="/history")
    assert "My edits" in talk.text
    assert talk.labels[0] == f"{timezone.localtime(done.created_at):%d.%m} · make it a pencil sketch"
    talk.tap(talk.labels[0])
    assert talk.last["photo"]
    assert balance(talk) == before
    assert Order.objects.count() == 1


def test_the_newest_comes_first_and_pages_turn(talk: Talk, order: Any) -> None:
    for number in range(1, 20):
        order(prompt=f"edit number {number}")
    talk.do("message", text="/history")
    assert [label.rpartition(" ")[2] for label in talk.labels[:8]] == [str(n) for n in range(19, 11, -1)]
    assert "‹" not in talk.labels
    talk.tap("›")
    assert talk.labels[0].endswith("number 11")
    assert talk.labels[8:10] == ["‹", "›"]
    talk.tap("›")
    assert talk.labels[:3][-1].endswith("number 1")
    assert "›" not in talk.labels
    talk.tap("‹")
    assert talk.labels[0].endswith("number 11")


def test_an_edit_is_called_by_its_preset_or_by_the_first_of_its_words(talk: Talk, order: Any) -> None:
    order(prompt="", preset=PresetFactory.create(title_en="Van Gogh", icon="🌻"))
    order(prompt="<b>very</b>   long " * 9)
    talk.do("message", text="/history")
    assert talk.labels[0].endswith(" · <b>very</b> long <b>very</b> long <b>ve…")
    assert talk.labels[1].endswith(" · 🌻 Van Gogh")


def test_only_what_can_be_shown_is_listed(talk: Talk, order: Any, bob_chat: Chat) -> None:
    order(status=JobStatus.FAILED)
    order(chat=bob_chat)
    purged = order()
    JobImage.objects.filter(job=purged.job).delete()
    talk.do("message", text="/history")
    assert "no finished edits" in talk.text

    Order.objects.filter(pk=purged.pk).update(photo_file_id="at-telegram")
    talk.do("message", text="/history")
    assert len([label for label in talk.labels if "·" in label]) == 1


def test_favourites_are_a_list_of_their_own(talk: Talk, order: Any) -> None:
    order(prompt="an ordinary one")
    JobMark.objects.create(job=order(prompt="a favourite").job, is_favourite=True)
    talk.do("message", text="/menu")
    talk.tap("👤 Profile")
    talk.tap("⭐ Favourites")
    assert "Favourites" in talk.text
    assert next(label for label in talk.labels if "·" in label).endswith("a favourite")
    JobMark.objects.update(is_favourite=False)
    talk.do("message", text="/menu")
    talk.tap("👤 Profile")
    talk.tap("⭐ Favourites")
    assert "no favourites yet" in talk.text


class TestThePoints:
    """Every movement, in words."""

    def open(self, talk: Talk) -> None:
        talk.do("message", text="/menu")
        talk.tap("👤 Profile")
        talk.tap("📜 Points history")

    def test_says_when_how_many_and_what_for(self, talk: Talk, alice: User) -> None:
        preset = PresetFactory.create(title_en="Van & Gogh")
        JobFactory.create(user=alice, preset=preset, status=JobStatus.FAILED)
        paid = PaymentFactory.create(user=alice, status=PaymentStatus.SUCCEEDED)
        PaymentFactory.create(
            user=alice,
            status=PaymentStatus.SUCCEEDED,
            gateway=Payment.Gateway.STARS,
            currency="XTR",
            amount=67,
        )
        RefundFactory.create(payment=paid, status=RefundStatus.CANCELED)
        self.open(talk)
        day = f"{timezone.localtime():%d.%m.%Y}"
        assert talk.text.splitlines()[-7:] == [
            f"{day}  +100  a refund that did not happen: 10 ₽",
            f"{day}  −100  refund of a payment: 10 ₽",
            f"{day}  +1000  top-up: 67 ⭐",
            f"{day}  +1000  top-up: 100 ₽",
            f"{day}  +30  points back for an edit: Van & Gogh",
            f"{day}  −30  edit: Van & Gogh",
            f"{day}  +60  welcome points",
        ]
        assert "You have 2060 points now." in talk.text

    def test_every_kind_of_movement_has_its_words(self, talk: Talk, alice: User) -> None:
        for kind in LedgerEntry.Kind:
            ledger.post(user_id=alice.pk, amount=1, kind=kind, key=f"test:{kind}")
        self.open(talk)
        assert len([line for line in talk.text.splitlines() if "+1 " in line]) == len(LedgerEntry.Kind)

    def test_pages_turn(self, talk: Talk, alice: User) -> None:
        for number in range(25):
            ledger.post(
                user_id=alice.pk, amount=number + 1, kind=LedgerEntry.Kind.GRANT, key=f"test:{number}"
            )
        self.open(talk)
        assert "+25 " in talk.text
        talk.tap("›")
        talk.tap("›")
        assert talk.text.splitlines()[-1].endswith("welcome points")
        assert "›" not in talk.labels


def test_a_page_beyond_the_end_is_the_first(talk: Talk, order: Any) -> None:
    order()
    for argument in ("99", "-1", "x", "9" * 30):
        talk.do("message", text=f"/history {argument}")
        assert talk.labels[0].endswith("make it blue")
