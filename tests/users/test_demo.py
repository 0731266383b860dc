"""The demo user, who lets the local runner show itself, always has a key and points for a few edits."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from pytest_django import Settings

from payments import audit, ledger
from qwenedit.demo import demo_key
from qwenedit.users.models import ApiKey, User
from qwenedit.users.services import create_api_key
from tests.clients import api_client

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_demo_key_works_and_its_user_can_pay_for_a_few_edits(settings: Settings) -> None:
    answer = api_client(demo_key(now=NOON)).get(reverse("api:me"))
    assert answer.status_code == 200
    assert answer.json()["username"] == "demo"
    assert answer.json()["balance"] == 3 * settings.EDIT_COST


def test_a_second_key_replaces_the_first_and_gives_no_points_that_are_not_needed() -> None:
    first = demo_key(now=NOON)
    second = demo_key(now=NOON + timedelta(seconds=1))
    assert api_client(first).get(reverse("api:me")).status_code == 401
    assert api_client(second).get(reverse("api:me")).status_code == 200
    assert User.objects.get(username="demo").ledger_entries.count() == 2


def test_points_that_were_spent_come_back_with_the_next_key(settings: Settings) -> None:
    demo_key(now=NOON)
    user = User.objects.get(username="demo")
    ledger.charge_job(user_id=user.pk, job_id=1, points=60, description="")
    demo_key(now=NOON + timedelta(seconds=1))
    assert User.objects.get(username="demo").balance == 3 * settings.EDIT_COST
    assert [finding for finding in audit.findings() if finding.broken] == []


def test_points_beyond_a_few_edits_are_kept() -> None:
    demo_key(now=NOON)
    user = User.objects.get(username="demo")
    ledger.grant(user_id=user.pk, points=1000, key="gift", reason="A gift")
    demo_key(now=NOON + timedelta(seconds=1))
    assert User.objects.get(username="demo").balance == 1090


def test_keys_that_somebody_made_for_the_demo_user_stay() -> None:
    demo_key(now=NOON)
    _, own = create_api_key(user=User.objects.get(username="demo"), name="my own")
    demo_key(now=NOON + timedelta(seconds=1))
    assert api_client(own).get(reverse("api:me")).status_code == 200


def test_the_key_may_read_and_edit_but_not_pay() -> None:
    demo_key(now=NOON)
    assert ApiKey.objects.get().scopes == ["read", "edit"]


def test_the_command_prints_the_key(settings: Settings) -> None:
    settings.DEBUG = True
    printed = io.StringIO()
    call_command("demo_key", stdout=printed)
    assert api_client(printed.getvalue().strip()).get(reverse("api:me")).status_code == 200


def test_in_production_there_is_no_demo_user(settings: Settings) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG off"):
        call_command("demo_key")
    assert not User.objects.exists()
