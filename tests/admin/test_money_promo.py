"""Promo codes and packages in the admin: made, exported, and changed under the eyes of those who redeem."""

import csv
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from payments import audit, promo
from payments.admin.promo import PromoCodeAdmin
from payments.models import Package, PromoCode
from payments.services import offer_for
from qwenedit.users.models import User
from tests.admin.conftest import browser
from tests.admin.forms import filled, messages
from tests.factories import PackageFactory, PromoCodeFactory, UserFactory
from tests.threads import at_once, errors

LIST = "admin:payments_promocode_changelist"
BATCH = "admin:payments_promocode_make_batch"
ADD = "admin:payments_promocode_add"
Hire = Callable[..., Client]
SPRING = {"batch": "spring", "count": "30", "points": "50", "beginning": "may-"}


def change(code: PromoCode) -> str:
    return reverse("admin:payments_promocode_change", args=[code.pk])


def test_a_batch_is_made_and_exported(boss: Client, alice: User) -> None:
    button = reverse("admin:payments_promocode_batch")
    assert button in boss.get(reverse(LIST)).text
    form = boss.get(button, follow=True)

    answer = boss.post(
        reverse(BATCH), filled(form, **SPRING, max_uses="2", expires_at="2036-05-01T12:30"), follow=True
    )

    codes = list(PromoCode.objects.filter(batch="spring"))
    assert messages(answer) == "30 codes made."
    assert list(answer.context["cl"].queryset) == codes
    assert len({code.code for code in codes}) == 30
    assert all(code.code.startswith("MAY-") for code in codes)
    assert {(code.points, code.max_uses, code.uses_per_user) for code in codes} == {(50, 2, 1)}
    assert {code.expires_at.isoformat() for code in codes} == {"2036-05-01T12:30:00+00:00"}
    assert promo.redeem_code(user=alice, code=codes[0].code.lower()).amount == 50

    export = boss.post(reverse(LIST), {"action": "export", "_selected_action": [code.pk for code in codes]})

    assert export.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in export.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(export.getvalue().decode())))
    assert {row["code"] for row in rows} == {code.code for code in codes}
    assert {row["code"]: row["uses"] for row in rows}[codes[0].code] == "1"


def test_a_batch_is_made_once_however_often_its_form_is_sent(boss: Client) -> None:
    form = filled(boss.get(reverse(BATCH)), **SPRING)
    boss.post(reverse(BATCH), form)

    again = boss.post(reverse(BATCH), form)
    renamed = boss.post(reverse(BATCH), form | {"batch": "summer"})

    assert "There is a batch of this name already." in again.text
    assert "This form was sent before" in renamed.text
    assert PromoCode.objects.count() == 30


@pytest.mark.postgres
def test_a_batch_is_made_once_however_impatient_the_clicks() -> None:
    root = UserFactory.create(is_staff=True, is_superuser=True)
    form = filled(browser(root).get(reverse(BATCH)), **SPRING)

    outcomes = at_once(*(partial(browser(root).post, reverse(BATCH), form) for _click in range(6)))

    assert errors(outcomes) == []
    assert sorted(answer.status_code for answer in outcomes) == [200] * 5 + [302]
    assert PromoCode.objects.count() == 30


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"count": "0"}, "count"),
        ({"count": str(promo.LARGEST_BATCH + 1)}, "count"),
        ({"points": "-50"}, "points"),
        ({"max_uses": "0"}, "max_uses"),
        ({"uses_per_user": "0"}, "uses_per_user"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"beginning": "a b"}, "__all__"),
        ({"beginning": "x" * 40}, "beginning"),
        ({"batch": ""}, "batch"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_and_can_be_corrected(
    typed: dict[str, str], field: str, boss: Client
) -> None:
    form = filled(boss.get(reverse(BATCH)), **SPRING)

    answer = boss.post(reverse(BATCH), form | typed)

    assert list(answer.context["form"].errors) == [field]
    assert PromoCode.objects.count() == 0
    assert boss.post(reverse(BATCH), form).status_code == 302
    assert PromoCode.objects.count() == 30


def test_no_batch_is_made_without_the_permission(staff: Hire) -> None:
    viewer = staff("view_promocode", "change_promocode")
    sent = SPRING | {
        "form_token": "0c2e1b76-6f3c-4f0c-9d3c-2d8f6a5f9b11",
        "max_uses": "1",
        "uses_per_user": "1",
    }

    assert reverse("admin:payments_promocode_batch") not in viewer.get(reverse(LIST)).text
    assert viewer.get(reverse("admin:payments_promocode_batch")).status_code == 403
    assert viewer.get(reverse(BATCH)).status_code == 403
    assert viewer.post(reverse(BATCH), sent).status_code == 403
    assert PromoCode.objects.count() == 0


def test_a_chosen_code_is_stored_in_capitals(boss: Client, alice: User) -> None:
    code = {"code": " Hello-2026 ", "points": "70", "uses_per_user": "1", "is_active": "on"}

    assert boss.post(reverse(ADD), code).status_code == 302
    twin = boss.post(reverse(ADD), code | {"code": "HELLO-2026"})

    assert twin.status_code == 200
    assert "already exists" in twin.text
    assert PromoCode.objects.get().code == "HELLO-2026"
    assert promo.redeem_code(user=alice, code="hello-2026").amount == 70


def test_what_was_promised_with_a_code_can_not_be_changed(boss: Client) -> None:
    code = PromoCodeFactory.create(code="PRINTED", points=50, uses_per_user=1)

    boss.post(change(code), {"code": "OTHER", "points": "5", "uses_per_user": "3", "is_active": "on"})

    code.refresh_from_db()
    assert (code.code, code.points, code.uses_per_user) == ("PRINTED", 50, 3)


def test_saving_a_code_does_not_undo_what_was_redeemed_meanwhile(
    boss: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = PromoCodeFactory.create(max_uses=10)
    save = PromoCodeAdmin.save_model

    def redeem_and_save(*args: Any) -> None:
        promo.redeem_code(user=alice, code=code.code)
        save(*args)

    monkeypatch.setattr(PromoCodeAdmin, "save_model", redeem_and_save)
    boss.post(change(code), {"max_uses": "5", "uses_per_user": "1", "is_active": "on"})

    code.refresh_from_db()
    assert (code.uses, code.max_uses) == (1, 5)
    assert [finding for finding in audit.findings() if finding.broken] == []


def test_fewer_uses_than_there_were_are_refused(boss: Client, alice: User, bob: User) -> None:
    code = PromoCodeFactory.create(max_uses=10)
    for user in (alice, bob):
        promo.redeem_code(user=user, code=code.code)

    answer = boss.post(change(code), {"max_uses": "1", "uses_per_user": "1", "is_active": "on"})

    assert "It was used 2 times already." in answer.text
    code.refresh_from_db()
    assert code.max_uses == 10


def test_a_code_is_switched_off_and_not_deleted(boss: Client) -> None:
    code = PromoCodeFactory.create()
    selected = {"action": "delete_selected", "_selected_action": [code.pk], "post": "yes"}

    answer = boss.post(reverse("admin:payments_promocode_delete", args=[code.pk]), {"post": "yes"})
    boss.post(reverse(LIST), selected)

    assert answer.status_code == 403
    assert PromoCode.objects.get() == code


def test_codes_are_switched_off_and_on(boss: Client, alice: User) -> None:
    code = PromoCodeFactory.create()
    chosen = {"_selected_action": [code.pk]}

    boss.post(reverse(LIST), chosen | {"action": "switch_off"})
    with pytest.raises(promo.PromoCodeRefused):
        promo.redeem_code(user=alice, code=code.code)
    boss.post(reverse(LIST), chosen | {"action": "switch_on"})

    assert promo.redeem_code(user=alice, code=code.code).amount == 50
    assert LogEntry.objects.filter(object_id=str(code.pk)).count() == 2


def test_a_package_is_changed_in_the_list_and_offered_so(boss: Client) -> None:
    package = PackageFactory.create(rubles=3_000, bonus_percent=10)
    assert offer_for(3_000).points == 33_000
    page = boss.get(reverse("admin:payments_package_changelist"))
    assert "33000" in page.text
    formset = page.context["cl"].formset
    sent: dict[str, Any] = {"_save": "Save"}
    for form in (formset.management_form, *formset.forms):
        sent |= {form.add_prefix(name): form[name].value() for name in form.fields}

    boss.post(reverse("admin:payments_package_changelist"), sent | {"form-0-bonus_percent": "20"})

    package.refresh_from_db()
    assert package.bonus_percent == 20
    assert offer_for(3_000).points == 36_000


@pytest.mark.parametrize("rubles", ["0", "-1", "10001"])
def test_a_package_that_nobody_may_pay_is_refused(rubles: str, boss: Client) -> None:
    before = Package.objects.count()

    answer = boss.post(
        reverse("admin:payments_package_add"), {"rubles": rubles, "bonus_percent": "5", "sort_order": "0"}
    )

    assert list(answer.context["adminform"].form.errors) == ["rubles"]
    assert Package.objects.count() == before
