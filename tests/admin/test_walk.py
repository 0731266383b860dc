"""A walk through every page of the admin: of whatever models it holds, today's and tomorrow's."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.models import Job
from tests.admin.conftest import SECRET

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
TERMS = ["ord", "7", "#7", "99999999999999999999", "Ж%'\"_", "job:1", "   "]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def newest(model: type[Model]) -> Model:
    row = model._default_manager.order_by("-pk").first()
    assert row is not None, f"Give {model._meta.label} a row in the fixture `furnish`."
    return row


def fetch(client: Client, url: str, *, allowed: tuple[int, ...] = (200,)) -> Any:
    """Get a page; no page of the admin, whatever it is about, may hold a node's password."""
    answer = client.get(url)
    assert answer.status_code in allowed, url
    assert SECRET not in answer.text
    return answer


@every_model
def test_every_page_of_every_model_opens(model: type[Model], boss: Client, job: Job) -> None:
    row = newest(model)

    fetch(boss, page(model, "changelist"))
    fetch(boss, page(model, "add"), allowed=(200, 403))
    fetch(boss, page(model, "change", row.pk))
    fetch(boss, page(model, "history", row.pk))
    fetch(boss, page(model, "delete", row.pk), allowed=(200, 403))


@every_model
def test_every_list_can_be_searched_for_anything(model: type[Model], boss: Client, job: Job) -> None:
    assert admin.site.get_model_admin(model).search_fields

    for term in TERMS:
        answer = boss.get(page(model, "changelist"), {"q": term})

        assert answer.status_code == 200, term


@every_model
def test_every_choice_of_every_filter_works(model: type[Model], boss: Client, job: Job) -> None:
    url = page(model, "changelist")
    changes = fetch(boss, url).context["cl"]

    for spec in changes.filter_specs:
        choices = list(spec.choices(changes))
        assert len(choices) > 1
        for choice in choices:
            fetch(boss, url + choice["query_string"])


@every_model
def test_every_column_that_can_be_sorted_by_works(model: type[Model], boss: Client, job: Job) -> None:
    url = page(model, "changelist")
    columns = len(fetch(boss, url).context["cl"].list_display)

    for column in range(1, columns):
        fetch(boss, f"{url}?o={column}")
        fetch(boss, f"{url}?o=-{column}")


@every_model
def test_a_list_asks_no_more_queries_for_more_rows(
    model: type[Model], boss: Client, furnish: Callable[[], Job]
) -> None:
    furnish()
    url = page(model, "changelist")
    boss.get(url)
    with CaptureQueriesContext(
        connection,
    ) as few:
        boss.get(url)
    shown = model._default_manager.count()
    furnish()
    furnish()
    assert model._default_manager.count() > shown

    with CaptureQueriesContext(connection) as many:
        boss.get(url)

    assert len(many) <= len(few) <= 14


@every_model
def test_a_list_never_counts_a_whole_table(model: type[Model], boss: Client, job: Job) -> None:
    table = model._meta.db_table
    with CaptureQueriesContext(connection) as queries:
        boss.get(page(model, "changelist"))

    counting = [query["sql"] for query in queries if query["sql"].startswith("SELECT COUNT(")]

    assert [sql for sql in counting if table in sql and "LIMIT" in sql]
    assert not [sql for sql in counting if "LIMIT" not in sql]


@every_model
def test_staff_without_permissions_see_nothing(
    model: type[Model], staff: Callable[..., Client], job: Job
) -> None:
    nobody = staff()
    row = newest(model)

    for url in (
        page(model, "changelist"),
        page(model, "add"),
        page(model, "change", row.pk),
        page(model, "history", row.pk),
        page(model, "delete", row.pk),
    ):
        assert nobody.get(url).status_code == 403, url
        assert nobody.post(url, {"action": "delete_selected"}).status_code == 403, url


@every_model
def test_those_who_may_only_look_change_nothing(
    model: type[Model], staff: Callable[..., Client], job: Job
) -> None:
    viewer = staff(f"view_{model._meta.model_name}")
    row = newest(model)
    before = type(row)._default_manager.values().get(pk=row.pk)

    fetch(viewer, page(model, "changelist"))
    fetch(viewer, page(model, "change", row.pk))

    assert viewer.get(page(model, "add")).status_code == 403
    assert viewer.post(page(model, "add"), {}).status_code == 403
    assert viewer.post(page(model, "change", row.pk), {}).status_code == 403
    assert viewer.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert type(row)._default_manager.values().get(pk=row.pk) == before


@every_model
def test_strangers_are_sent_to_the_login_page(model: type[Model], client: Client, job: Job) -> None:
    row = newest(model)

    for url in (page(model, "changelist"), page(model, "add"), page(model, "change", row.pk)):
        answer = client.get(url)
        assert (answer.status_code, answer.headers["Location"]) == (
            302,
            f"{reverse('admin:login')}?next={url}",
        )


def test_users_of_the_service_are_sent_to_the_login_page(alice: Any) -> None:
    client = Client()
    client.force_login(alice)

    assert client.get(reverse("admin:index")).status_code == 302


@every_model
def test_no_action_runs_without_its_permission(
    model: type[Model], staff: Callable[..., Client], job: Job
) -> None:
    viewer = staff(f"view_{model._meta.model_name}")
    row = newest(model)
    before = model._default_manager.values().get(pk=row.pk)

    for name in [*(admin.site.get_model_admin(model).actions or []), "delete_selected"]:
        viewer.post(
            page(model, "changelist"),
            {"action": name, "_selected_action": [row.pk], "apply": "1", "reason": "no", "post": "yes"},
        )

    assert model._default_manager.values().get(pk=row.pk) == before


@every_model
def test_no_button_works_without_its_permission(
    model: type[Model], staff: Callable[..., Client], job: Job
) -> None:
    viewer = staff(f"view_{model._meta.model_name}")
    row = newest(model)

    for name in getattr(admin.site.get_model_admin(model), "actions_detail", ()):
        url = page(model, name, row.pk)
        assert viewer.get(url).status_code == 403, url
        assert viewer.post(url, {"apply": "1", "reason": "no"}).status_code == 403, url


@every_model
def test_a_row_that_is_gone_is_not_an_error(model: type[Model], boss: Client, job: Job) -> None:
    buttons = getattr(admin.site.get_model_admin(model), "actions_detail", ())

    for key in ("987654321", "no-number"):
        assert boss.get(page(model, "change", key)).status_code == 302
        for name in buttons:
            assert boss.get(page(model, name, key)).status_code in {302, 403, 404}
