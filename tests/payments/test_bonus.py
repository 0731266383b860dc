"""The weekly bonus: everybody once a week, whatever runs twice, dies or charges meanwhile."""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from payments import audit, bonus, ledger
from payments.bonus import bonus_moment, issue_weekly_bonus, week_name
from payments.ledger_bulk import BulkEntry, post_to_each
from payments.models import BonusNotice, LedgerEntry, WeeklyBonus
from payments.tasks import issue_weekly_bonus as task
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.threads import at_once, errors
from tests.waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
FRIDAY = datetime(2026, 11, 27, 20, tzinfo=UTC)  # the bonus of 2026-W48 is due
SECOND = timedelta(seconds=1)
KIND = LedgerEntry.Kind.WEEKLY_BONUS


@pytest.fixture
def _the_audit_holds_afterwards(each_database: str) -> Iterator[None]:
    yield
    assert [finding for finding in audit.findings() if finding.broken] == []
    assert BonusNotice.objects.count() == LedgerEntry.objects.filter(kind=KIND).count()


on_each_database = pytest.mark.usefixtures("each_database", "_the_audit_holds_afterwards")


def people(count: int, **fields: Any) -> list[User]:
    users: list[User] = UserFactory.create_batch(count, date_joined=NEW_YEAR, **fields)
    return users


def balances() -> list[int]:
    return list(User.objects.order_by("pk").values_list("balance", flat=True))


@on_each_database
def test_everybody_gets_the_bonus_with_an_entry_and_a_notice() -> None:
    users = [*people(2), *people(1, balance=1000)]
    assert issue_weekly_bonus(FRIDAY) == 3
    assert balances() == [70, 70, 1010]
    entries = LedgerEntry.objects.filter(kind=KIND).order_by("user_id")
    assert [(entry.user_id, entry.amount, entry.balance_after, entry.key) for entry in entries] == [
        (user.pk, 10, balance, f"bonus:weekly:2026-W48:{user.pk}")
        for user, balance in zip(users, [70, 70, 1010], strict=True)
    ]
    assert list(BonusNotice.objects.order_by("pk").values_list("entry_id", "delivered_at")) == [
        (entry.pk, None) for entry in entries
    ]


@on_each_database
def test_it_is_given_once_a_week_and_again_the_week_after() -> None:
    people(3)
    assert issue_weekly_bonus(FRIDAY) == 3
    assert issue_weekly_bonus(FRIDAY + SECOND) == 0
    assert issue_weekly_bonus(FRIDAY + timedelta(days=2)) == 0
    assert issue_weekly_bonus(FRIDAY + timedelta(weeks=1)) == 3
    assert balances() == [80] * 3
    assert set(WeeklyBonus.objects.values_list("week", "users")) == {("2026-W48", 3), ("2026-W49", 3)}


@on_each_database
@pytest.mark.parametrize(
    ("now", "given"),
    [
        (MONDAY, 0),
        (FRIDAY - SECOND, 0),
        (FRIDAY, 1),
        (FRIDAY.astimezone(timezone(timedelta(hours=11))), 1),
        (MONDAY + timedelta(weeks=1) - SECOND, 1),
        (MONDAY + timedelta(weeks=1), 0),
    ],
)
def test_it_is_due_from_its_moment_to_the_end_of_its_week(now: datetime, given: int) -> None:
    people(1)
    assert issue_weekly_bonus(now) == given


@pytest.mark.parametrize(
    ("now", "week", "monday"),
    [
        ((2026, 12, 31, 12), "2026-W53", (2026, 12, 28)),
        ((2027, 1, 1, 20), "2026-W53", (2026, 12, 28)),
        ((2027, 1, 3, 23), "2026-W53", (2026, 12, 28)),
        ((2027, 1, 4), "2027-W01", (2027, 1, 4)),
        ((2024, 12, 30), "2025-W01", (2024, 12, 30)),
        ((2025, 12, 28, 23), "2025-W52", (2025, 12, 22)),
    ],
)
@pytest.mark.parametrize("day", [0, 4, 6])
def test_weeks_belong_to_the_year_of_their_thursday(
    now: tuple[int, ...], week: str, monday: tuple[int, int, int], day: int, settings: Any
) -> None:
    settings.WEEKLY_BONUS_DAY = day
    moment = datetime(*now, tzinfo=UTC)  # type: ignore[arg-type,misc]
    assert week_name(moment) == week
    assert bonus_moment(moment) == datetime(*monday, 20, tzinfo=UTC) + timedelta(days=day)


@on_each_database
def test_a_week_across_the_new_year_has_one_bonus() -> None:
    people(1)
    assert issue_weekly_bonus(datetime(2027, 1, 1, 20, tzinfo=UTC)) == 1
    assert issue_weekly_bonus(datetime(2027, 1, 3, 23, 59, tzinfo=UTC)) == 0
    assert issue_weekly_bonus(datetime(2027, 1, 8, 20, tzinfo=UTC)) == 1


@on_each_database
def test_the_blocked_the_inactive_and_the_late_get_none() -> None:
    people(1, is_blocked=True)
    people(1, is_active=False)
    UserFactory.create(date_joined=FRIDAY)
    early = UserFactory.create(date_joined=FRIDAY - SECOND)
    assert issue_weekly_bonus(FRIDAY + timedelta(hours=1)) == 1
    assert LedgerEntry.objects.get(kind=KIND).user_id == early.pk


@on_each_database
def test_switched_off_it_gives_nothing(settings: Any) -> None:
    people(1)
    settings.WEEKLY_BONUS_ENABLED = False
    assert issue_weekly_bonus(FRIDAY) == 0
    assert not WeeklyBonus.objects.exists()


@on_each_database
def test_nobody_to_give_to_is_no_trouble() -> None:
    assert issue_weekly_bonus(FRIDAY) == 0
    assert WeeklyBonus.objects.get().finished_at is not None


@on_each_database
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5])
def test_batches_of_any_size_reach_everybody(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bonus, "BATCH", batch)
    people(4)
    assert issue_weekly_bonus(FRIDAY) == 4
    assert balances() == [70] * 4


@on_each_database
def test_a_runner_that_died_is_continued_with_what_it_promised(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    people(7)
    monkeypatch.setattr(bonus, "BATCH", 2)
    batches = itertools.count(1)

    def die_in_the_third_batch(*users: Any, **what: Any) -> list[BulkEntry]:
        posting = post_to_each(*users, **what)
        if next(batches) == 3:
            raise KeyboardInterrupt
        return posting

    with monkeypatch.context() as patch:
        patch.setattr(bonus, "post_to_each", die_in_the_third_batch)
        with pytest.raises(KeyboardInterrupt):
            issue_weekly_bonus(FRIDAY)
    assert balances() == [70] * 4 + [60] * 3
    settings.WEEKLY_BONUS_AMOUNT = 99
    assert issue_weekly_bonus(FRIDAY + timedelta(minutes=1)) == 3
    assert balances() == [70] * 7


@on_each_database
def test_a_lost_note_of_progress_doubles_nothing() -> None:
    people(5)
    issue_weekly_bonus(FRIDAY)
    WeeklyBonus.objects.all().delete()
    UserFactory.create(date_joined=NEW_YEAR)
    assert issue_weekly_bonus(FRIDAY) == 1
    assert balances() == [70] * 6


@on_each_database
def test_somebody_who_has_theirs_already_keeps_it_from_nobody_else() -> None:
    first, second, third = people(3)
    second_key = f"bonus:weekly:2026-W48:{second.pk}"
    entry = ledger.post(user_id=second.pk, amount=10, kind=KIND, key=second_key).entry
    BonusNotice.objects.create(entry=entry)
    assert issue_weekly_bonus(FRIDAY) == 2
    assert balances() == [70] * 3
    assert set(LedgerEntry.objects.filter(kind=KIND).values_list("user_id", flat=True)) == {
        first.pk,
        second.pk,
        third.pk,
    }


@on_each_database
def test_runners_and_charges_at_once_come_out_even(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bonus, "BATCH", 7)
    users = people(60)

    def spend(seed: int) -> None:
        for user in random.Random(seed).sample(users, len(users)):
            job_id = 1000 * user.pk + seed
            ledger.charge_job(user_id=user.pk, job_id=job_id, points=5, description="edit")

    run = partial(issue_weekly_bonus, FRIDAY)
    outcomes = at_once(*[run] * 4, *(partial(spend, seed) for seed in range(4)))
    assert errors(outcomes) == []
    assert sum(outcome for outcome in outcomes[:4] if isinstance(outcome, int)) == 60
    assert balances() == [60 + 10 - 4 * 5] * 60
    assert WeeklyBonus.objects.get().users == 60


@pytest.mark.postgres
def test_the_bonus_waits_for_a_charge_and_continues_from_its_balance() -> None:
    _first, second = people(2)
    runner = threading.Thread(target=in_a_thread, args=(partial(issue_weekly_bonus, FRIDAY),))
    with transaction.atomic():
        ledger.charge_job(user_id=second.pk, job_id=1, points=30, description="edit")
        runner.start()
        wait_until(somebody_waits)
    runner.join(20)
    assert balances() == [70, 40]
    entry = LedgerEntry.objects.get(user=second, kind=KIND)
    assert entry.balance_after == 40
    assert [finding for finding in audit.findings() if finding.broken] == []


@pytest.mark.postgres
def test_somebody_blocked_while_the_bonus_waits_for_them_gets_none() -> None:
    _first, second = people(2)
    runner = threading.Thread(target=in_a_thread, args=(partial(issue_weekly_bonus, FRIDAY),))
    with transaction.atomic():
        User.objects.filter(pk=second.pk).update(is_blocked=True)
        runner.start()
        wait_until(somebody_waits)
    runner.join(20)
    assert balances() == [70, 60]


@pytest.mark.postgres
def test_users_are_locked_in_the_order_of_their_ids_wherever_they_lie() -> None:
    first, second = people(2)
    User.objects.filter(pk=first.pk).update(language="ru")  # written anew, behind the second one
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE users_user")  # so few that the planner would rather read them all
    runner = threading.Thread(target=in_a_thread, args=(partial(issue_weekly_bonus, FRIDAY),))
    with transaction.atomic():
        User.objects.select_for_update().get(pk=first.pk)
        runner.start()
        wait_until(somebody_waits)
        assert User.objects.select_for_update(skip_locked=True).filter(pk=second.pk).exists()
    runner.join(20)
    assert balances() == [70, 70]


@pytest.mark.postgres
def test_a_new_balance_is_written_on_the_page_of_the_old_one() -> None:
    people(100)
    before = pages()
    for week in range(3):
        assert issue_weekly_bonus(FRIDAY + timedelta(weeks=week)) == 100
    assert pages() == before


def pages() -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, (ctid::text::point)[0]::int FROM users_user")
        return dict(cursor.fetchall())


@pytest.mark.postgres
def test_a_second_runner_leaves_at_once() -> None:
    people(2)
    WeeklyBonus.objects.create(week="2026-W48", due_at=FRIDAY, amount=10)
    with transaction.atomic():
        WeeklyBonus.objects.select_for_update().get()
        assert at_once(partial(issue_weekly_bonus, FRIDAY)) == [0]
    assert issue_weekly_bonus(FRIDAY) == 2


def in_a_thread(work: Callable[[], object]) -> None:
    try:
        work()
    finally:
        connection.close()


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_beat_asks_every_minute_and_once_done_that_costs_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    people(2)
    with time_machine.travel(FRIDAY - SECOND, tick=False) as clock:
        task.apply(kwargs={"an": "argument of tomorrow"}, throw=True)
        assert balances() == [60, 60]
        clock.shift(SECOND)
        task.apply(throw=True)
        assert balances() == [70, 70]
        with django_assert_num_queries(1):
            task.apply(throw=True)


ISSUE = """
from datetime import UTC, datetime
from payments.bonus import issue_weekly_bonus
print(issue_weekly_bonus(datetime(2026, 11, 27, 20, tzinfo=UTC)))
"""


def issue_in_a_process(log_format: str) -> list[str]:
    answer = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", ISSUE],
        cwd=PROJECT_ROOT,
        env={**os.environ, "LOG_FORMAT": log_format},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line for line in answer.stderr.splitlines() if "Weekly bonus issued" in line]


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_the_line_of_each_bonus_is_the_agreed_one() -> None:
    people(23, balance=1090)
    lines = issue_in_a_process("text")
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO    payments.bonus: Weekly bonus issued successfully: "
        f"payment_id={entry.pk}, user_id={entry.user_id}, amount=10 points, new_balance=1100"
        for entry in LedgerEntry.objects.filter(kind=KIND).order_by("pk")
    ]
    assert len(lines) == 23


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_in_json_each_bonus_is_an_event_with_its_fields_apart() -> None:
    people(12, balance=1090)
    records = [json.loads(line) for line in issue_in_a_process("json")]
    entries = LedgerEntry.objects.filter(kind=KIND).order_by("pk")
    assert len(records) == 12
    for record, entry in zip(records, entries, strict=True):
        sentence = (
            f"Weekly bonus issued successfully: payment_id={entry.pk}, user_id={entry.user_id}, "
            "amount=10 points, new_balance=1100"
        )
        fields = {
            "event": sentence,
            "payment_id": entry.pk,
            "user_id": entry.user_id,
            "amount": "10 points",
            "new_balance": 1100,
            "balance_before": 1090,
            "status": "succeeded",
            "level": "info",
            "logger": "payments.bonus",
        }
        assert {name: record.get(name) for name in fields} == fields
        assert "rows" not in record
