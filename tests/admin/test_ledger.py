"""The ledger is read in the admin, and there is no way to write it."""

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import Job
from payments.models import LedgerEntry
from qwenedit.users.models import User

LIST = "admin:payments_ledgerentry_changelist"


def test_entries_are_found_by_their_user_and_by_their_cause(boss: Client, job: Job, alice: User) -> None:
    by_user = boss.get(reverse(LIST), {"q": job.user.username}).context["cl"].result_list
    by_cause = boss.get(reverse(LIST), {"q": f"job:{job.pk}:"}).context["cl"].result_list
    by_number = boss.get(reverse(LIST), {"q": str(alice.telegram_id)}).context["cl"].result_list

    assert {entry.user_id for entry in by_user} == {job.user_id}
    assert {entry.key for entry in by_cause} == {f"job:{job.pk}:charge", f"job:{job.pk}:refund"}
    assert [entry.user_id for entry in by_number] == [alice.pk]


def test_the_entry_of_an_edit_leads_to_the_edit(boss: Client, job: Job) -> None:
    text = boss.get(reverse(LIST)).text

    assert f'href="{reverse("admin:jobs_job_change", args=[job.pk])}"' in text


@pytest.mark.parametrize("name", ["add", "change", "delete"])
def test_not_even_a_superuser_writes(name: str, boss: Client, alice: User) -> None:
    entry = alice.ledger_entries.get()
    before = list(LedgerEntry.objects.values())
    args = [] if name == "add" else [entry.pk]
    data = {
        "user": alice.pk,
        "amount": 1_000,
        "balance_after": 1_000,
        "kind": "grant",
        "key": "k",
        "post": "yes",
    }

    answer = boss.post(reverse(f"admin:payments_ledgerentry_{name}", args=args), data)

    assert answer.status_code == 403
    assert list(LedgerEntry.objects.values()) == before


def test_no_action_is_offered(boss: Client, alice: User) -> None:
    answer = boss.post(
        reverse(LIST),
        {"action": "delete_selected", "_selected_action": [alice.ledger_entries.get().pk], "post": "yes"},
    )

    assert answer.status_code in {200, 302}
    assert alice.ledger_entries.count() == 1
    assert "delete_selected" not in boss.get(reverse(LIST)).text
