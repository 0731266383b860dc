"""Compiled statements do what the plain ones do, on each database."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from botapp.models import Chat, IncomingUpdate, Order
from jobs.models import Attempt, JobImage
from qwenedit.lib.compiled import Compiled, CompiledInsert, CompiledNumbers, CompiledUpdate, together
from tests.factories import ChatFactory, JobFactory, NodeFactory, OrderFactory

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = "it's 50 % of “ünïcödé” %s"


def test_a_query_takes_every_kind_of_argument(each_database: str) -> None:
    now, token = timezone.now(), uuid4()
    mine = OrderFactory.create(prompt=WORDS, lease_token=token, created_at=now)
    OrderFactory.create(prompt=WORDS, lease_token=uuid4(), created_at=now)
    found = Compiled(
        lambda pk, words, lease, moment: Order.objects.filter(
            pk__gte=pk, prompt=words, lease_token=lease, created_at=moment
        )
    )
    for _ in range(2):
        assert found(mine.pk, WORDS, token, now) == [mine]
    assert found(mine.pk, "other words", token, now) == []
    assert found(mine.pk, WORDS, uuid4(), now) == []
    assert found(mine.pk, WORDS, token, now + timedelta(hours=1)) == []


def test_rows_come_with_what_is_related_annotated_and_left_out(each_database: str) -> None:
    chat = ChatFactory.create(draft={"words": WORDS})
    with_reply = OrderFactory.create(chat=chat, photos=[{"file_id": "x"}])
    found = Compiled(
        lambda pk: (
            Order.objects.filter(pk=pk)
            .select_related("chat__user", "preset")
            .annotate(twice=F("left_out") * 2 + 6)
            .defer("prompt")
        )
    )
    [row] = found(with_reply.pk)
    with CaptureQueriesContext(connection) as asked:
        assert (row.chat, row.chat.user.username, row.preset) == (chat, chat.user.username, None)
        assert (row.chat.draft, row.photos, row.twice) == ({"words": WORDS}, [{"file_id": "x"}], 6)
        assert row.created_at == with_reply.created_at
    assert len(asked) == 0
    assert row.prompt == with_reply.prompt


def test_numbers_come_as_rows(each_database: str) -> None:
    order = OrderFactory.create()
    numbers = CompiledNumbers(lambda pk: Order.objects.filter(pk=pk).values_list("pk", "left_out"))
    assert numbers(order.pk) == [(order.pk, 0)]
    assert numbers(order.pk + 1) == []


def test_an_update_writes_what_update_would_and_counts_its_rows(each_database: str) -> None:
    chat, other, token = ChatFactory.create(), ChatFactory.create(), uuid4()
    until = timezone.now() + timedelta(minutes=1)
    change = CompiledUpdate(
        lambda pk, lease, moment, step: (
            Chat.objects.filter(pk=pk, lease_token__isnull=True),
            {"lease_token": lease, "lease_until": moment, "step": step, "draft": {}, "gone_at": None},
        )
    )
    assert change(chat.pk, token, until, WORDS) == 1
    assert change(chat.pk, uuid4(), until, "again") == 0

    chat.refresh_from_db()
    assert (chat.lease_token, chat.lease_until, chat.step, chat.draft) == (token, until, WORDS, {})
    other.refresh_from_db()
    assert other.lease_token is None


def test_an_update_may_count_on(each_database: str) -> None:
    order = OrderFactory.create(tries=2)
    count = CompiledUpdate(lambda pk: (Order.objects.filter(pk=pk), {"tries": F("tries") + 1}))
    assert count(order.pk) == count(order.pk) == 1
    order.refresh_from_db()
    assert order.tries == 4


def test_an_insert_writes_what_save_would(each_database: str) -> None:
    chat, token = ChatFactory.create(), uuid4()
    insert = CompiledInsert(Order, once=True)
    rows = [Order(chat=chat, key=key, photos=[{"file_id": WORDS}], lease_token=token) for key in ("a", "b")]
    assert [insert(row) for row in rows] == [True, True]

    for row in rows:
        kept = Order.objects.get(key=row.key)
        fields = [field.attname for field in Order._meta.concrete_fields]
        assert [getattr(kept, name) for name in fields] == [getattr(row, name) for name in fields]
        row.prompt = WORDS
        row.save()  # which updates: the row is no new one any more
    assert Order.objects.filter(prompt=WORDS).count() == 2


def test_a_key_of_ones_own_stays_what_it_was(each_database: str) -> None:
    attempt = Attempt(job=JobFactory.create(), node=NodeFactory.create(), number=1)
    key = attempt.pk
    CompiledInsert(Attempt)(attempt)
    assert attempt.pk == key == Attempt.objects.get().pk


def test_a_row_that_is_there_is_not_inserted_again(each_database: str) -> None:
    now = timezone.now()
    insert = CompiledInsert(IncomingUpdate, once=True)
    assert insert(IncomingUpdate(id=5, chat_id=1, body={"first": 1}, next_try_at=now))
    assert not insert(IncomingUpdate(id=5, chat_id=2, body={}, next_try_at=now))
    assert IncomingUpdate.objects.get().body == {"first": 1}


def test_statements_sent_together_answer_in_order_and_see_what_came_before(each_database: str) -> None:
    order = OrderFactory.create(prompt="first")
    words = Compiled(lambda pk: Order.objects.filter(pk=pk).only("prompt"))
    change = CompiledUpdate(lambda pk, new: (Order.objects.filter(pk=pk), {"prompt": new}))
    numbers = CompiledNumbers(lambda pk: Order.objects.filter(pk__gte=pk).values_list("pk", "left_out"))
    insert = CompiledInsert(IncomingUpdate, once=True)
    job, now = JobFactory.create(), timezone.now()
    image = JobImage(job=job, role="input", position=1, file="x", width=1, height=1, bytes=1, sha256="0")
    picture = CompiledInsert(JobImage)
    update = IncomingUpdate(id=5, chat_id=1, body={"words": WORDS}, next_try_at=now)

    with transaction.atomic(), CaptureQueriesContext(connection) as sent:
        before, changed, after, missed, made, again, _, counted = together(
            words.of(order.pk),
            change.of(order.pk, f"a; b {WORDS}"),
            words.of(order.pk),
            change.of(order.pk + 1, "nobody's"),
            insert.of(update),
            insert.of(IncomingUpdate(id=5, chat_id=2, body={}, next_try_at=now)),
            picture.of(image),
            numbers.of(order.pk),
        )

    assert [row.prompt for row in before] == ["first"]
    assert [row.prompt for row in after] == [f"a; b {WORDS}"]
    assert (changed, missed, made, again) == (1, 0, True, False)
    assert IncomingUpdate.objects.get().body == {"words": WORDS}
    assert image.pk == job.images.get().pk
    assert counted == [(order.pk, 0)]
    assert len(sent) == {"postgresql": 1, "sqlite": 8}[each_database]


def test_one_of_several_that_fails_undoes_all_of_them(each_database: str) -> None:
    order, node = OrderFactory.create(prompt="first"), NodeFactory.create()
    change = CompiledUpdate(lambda pk, new: (Order.objects.filter(pk=pk), {"prompt": new}))
    first = Attempt(job=JobFactory.create(), node=node, number=1)
    second = Attempt(job=first.job, node=node, number=1)
    insert = CompiledInsert(Attempt)

    with pytest.raises(IntegrityError), transaction.atomic():
        together(change.of(order.pk, "second"), insert.of(first), insert.of(second))

    order.refresh_from_db()
    assert order.prompt == "first"
    assert not Attempt.objects.exists()
