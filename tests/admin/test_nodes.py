"""Nodes in the admin: their health, and their passwords, which go one way only."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs.admin.node_form import NodeForm
from jobs.models import Job, Node
from jobs.states import JobStatus
from tests.admin.conftest import SECRET
from tests.factories import AttemptFactory, JobFactory, NodeFactory

LIST = "admin:jobs_node_changelist"


def change(node: Node) -> str:
    return reverse("admin:jobs_node_change", args=[node.pk])


def save(client: Client, node: Node, *, follow: bool = False, **fields: Any) -> Any:
    """Save the form of the guarded node, with changes."""
    data = {
        "name": node.name,
        "address": node.shown_url,
        "user": "keeper",
        "password": "",
        "is_enabled": "on",
    }
    return client.post(change(node), data | fields, follow=follow)


def run(client: Client, action: str, *nodes: Node) -> Any:
    data = {"action": action, "_selected_action": [node.pk for node in nodes]}
    return client.post(reverse(LIST), data, follow=True)


def test_check_now_asks_the_node(boss: Client, node: Node) -> None:
    text = run(boss, "check_now", node).text

    node.refresh_from_db()
    assert f"{node.name} answers: {node.version}" in text
    assert node.is_healthy
    assert node.queue_length == 0
    assert node.version in boss.get(reverse(LIST)).text


def test_check_now_tells_why_a_node_does_not_answer(boss: Client, guarded: Node) -> None:
    Node.objects.filter(pk=guarded.pk).update(url=f"http://keeper:{SECRET}@127.0.0.1:9/")

    answer = boss.get(reverse("admin:jobs_node_check_this", args=[guarded.pk]), follow=True)

    guarded.refresh_from_db()
    assert guarded.is_healthy is False
    assert guarded.problem in answer.context["messages"]._loaded_data[0].message
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("action", "field", "before", "after"),
    [
        ("enable", "is_enabled", False, True),
        ("disable", "is_enabled", True, False),
        ("drain", "is_draining", False, True),
        ("end_draining", "is_draining", True, False),
    ],
)
def test_nodes_are_taken_in_and_out_of_service(
    boss: Client, action: str, field: str, before: bool, after: bool
) -> None:
    one, two, other = (NodeFactory.create(**{field: before}) for _ in range(3))

    text = run(boss, action, one, two).text

    assert "2 nodes changed." in text
    assert list(Node.objects.order_by("pk").values_list(field, flat=True)) == [after, after, before]
    assert len(boss.get(reverse("admin:jobs_node_history", args=[one.pk])).context["action_list"]) == 1
    assert not boss.get(reverse("admin:jobs_node_history", args=[other.pk])).context["action_list"]


def test_the_list_tells_how_busy_a_node_is(boss: Client) -> None:
    node = NodeFactory.create(vram_total=24 << 30, vram_free=3 << 30, device="RTX 4090", version="0.33")
    AttemptFactory.create(node=node, job=JobFactory.create(status=JobStatus.QUEUED))

    text = " ".join(boss.get(reverse(LIST)).text.split()).replace("\xa0", " ")

    assert "1 / 2" in text
    assert "3.0 GB of 24.0 GB" in text
    assert "0.33 · RTX 4090" in text


def test_a_new_node_is_reached_with_its_password(boss: Client) -> None:
    data = {
        "name": "new",
        "address": "https://gpu.example:8188/comfy/",
        "user": "me@work",
        "password": "p:a/s s",
        "is_enabled": "on",
    }

    assert boss.post(reverse("admin:jobs_node_add"), data).status_code == 302

    assert Node.objects.get().url == "https://me%40work:p%3Aa%2Fs%20s@gpu.example:8188/comfy"


def test_saving_a_node_keeps_its_password(boss: Client, guarded: Node) -> None:
    url = guarded.url

    assert save(boss, guarded, name="renamed").status_code == 302

    guarded.refresh_from_db()
    assert (guarded.name, guarded.url) == ("renamed", url)


def test_a_password_is_replaced_and_taken_away(boss: Client, guarded: Node) -> None:
    save(boss, guarded, password="other")
    assert Node.objects.get().url == "http://keeper:other@gpu.example:8188/comfy"

    save(boss, guarded, user="")
    assert Node.objects.get().url == "http://gpu.example:8188/comfy"


def test_a_stored_password_is_not_sent_to_a_new_address(boss: Client, guarded: Node) -> None:
    url = guarded.url

    answer = save(boss, guarded, address="http://evil.example:8188/comfy")
    assert "enter the password again" in answer.text
    guarded.refresh_from_db()
    assert guarded.url == url

    assert save(boss, guarded, address="http://new.example", password="told").status_code == 302
    guarded.refresh_from_db()
    assert guarded.url == "http://keeper:told@new.example"


@pytest.mark.parametrize(
    "pasted",
    [
        f"http://keeper:{SECRET}@gpu.example:8188",
        f"http://keeper:{SECRET}@[broken",
        f"keeper:{SECRET}@gpu.example",
        f"http://gpu.example/keeper:{SECRET}@x",
        f"http://a@keeper:{SECRET}@gpu.example",
    ],
)
def test_a_password_pasted_with_the_address_is_not_shown_again(boss: Client, pasted: str) -> None:
    data = {"name": "", "address": pasted, "user": "", "password": ""}  # no name: the page comes back

    answer = boss.post(reverse("admin:jobs_node_add"), data)

    assert "name" in answer.context["adminform"].form.errors
    assert SECRET not in answer.text


def test_a_password_pasted_with_the_address_is_stored(boss: Client) -> None:
    data = {"name": "a", "address": "http://keeper:s%2Fecret@gpu.example:8188", "user": "", "password": ""}

    assert boss.post(reverse("admin:jobs_node_add"), data).status_code == 302

    assert Node.objects.get().url == "http://keeper:s%2Fecret@gpu.example:8188"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"address": "gpu.example:8188"}, "address"),
        ({"address": "ftp://gpu.example"}, "address"),
        ({"address": ""}, "address"),
        ({"address": "http://taken.example:8188", "user": ""}, "address"),
        ({"user": "", "password": "alone"}, "user"),
    ],
)
def test_what_is_no_address_of_a_new_node_is_refused(
    boss: Client, guarded: Node, fields: dict[str, str], field: str
) -> None:
    NodeFactory.create(url="http://taken.example:8188")
    url = guarded.url

    answer = save(boss, guarded, **fields)

    assert list(answer.context["adminform"].form.errors) == [field]
    guarded.refresh_from_db()
    assert guarded.url == url


def test_a_changed_address_makes_old_health_meaningless(boss: Client, guarded: Node) -> None:
    now = timezone.now()
    Node.objects.filter(pk=guarded.pk).update(
        is_healthy=False,
        stalled_since=now,
        problem="refused",
        failures_in_row=3,
        tripped_at=now,
        tripped_until=now,
    )

    save(boss, guarded, password="other")

    guarded.refresh_from_db()
    assert (guarded.is_healthy, guarded.stalled_since, guarded.problem) == (None, None, "")
    assert (guarded.failures_in_row, guarded.tripped_at, guarded.tripped_until) == (0, None, None)


def test_what_a_probe_and_the_breaker_write_during_a_save_stays(
    boss: Client, guarded: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, now = guarded.url, timezone.now()
    found = {
        "is_healthy": False,
        "checked_at": now,
        "problem": "refused",
        "vram_free": 5,
        "failures_in_row": 3,
        "tripped_at": now,
        "tripped_until": now + timedelta(minutes=1),
    }
    clean = NodeForm.clean_address

    def clean_meanwhile(form: NodeForm) -> str:
        Node.objects.filter(pk=guarded.pk).update(**found)
        return clean(form)

    monkeypatch.setattr(NodeForm, "clean_address", clean_meanwhile)

    # Neither a slash at the end nor the password that is stored already makes another address.
    save(boss, guarded, name="renamed", is_draining="on", address=guarded.shown_url + "/", password=SECRET)

    row = Node.objects.values().get(pk=guarded.pk)
    assert row.items() >= found.items()
    assert (row["name"], row["is_draining"], row["url"]) == ("renamed", True, url)


def test_credentials_are_on_no_page_at_all(
    boss: Client, staff: Callable[..., Client], guarded: Node, job: Job
) -> None:
    AttemptFactory.create(job=job, node=guarded)
    viewer = staff("view_node", "view_job")
    pages = [
        reverse("admin:index"),
        reverse(LIST),
        change(guarded),
        reverse("admin:jobs_node_history", args=[guarded.pk]),
        reverse("admin:jobs_job_changelist"),
        reverse("admin:jobs_job_change", args=[job.pk]),
    ]

    for url in pages:
        assert SECRET not in boss.get(url).text, url
        text = viewer.get(url).text
        assert SECRET not in text, url
        assert "keeper" not in text.replace('value="keeper"', ""), url
    assert "http://gpu.example:8188/comfy" in viewer.get(change(guarded)).text


def test_the_address_of_a_node_of_the_environment_is_the_environments(boss: Client) -> None:
    node = NodeFactory.create(from_environment=True, url=f"http://keeper:{SECRET}@gpu.example:8188")

    answer = boss.post(
        change(node), {"name": "renamed", "address": "http://evil.example", "user": "", "is_draining": "on"}
    )

    url = node.url
    node.refresh_from_db()
    assert answer.status_code == 302
    assert (node.name, node.url, node.is_draining) == ("renamed", url, True)
    text = boss.get(change(node)).text
    assert "keeper" not in text
    assert "http://gpu.example:8188" in text


def test_staff_hear_of_it_where_a_worker_has_too_few_threads_for_the_nodes(
    boss: Client, guarded: Node, settings: Any
) -> None:
    settings.WORKER_THREADS = 2 + 2 * settings.COMFYUI_NODE_DEPTH
    warning = "WORKER_THREADS"
    other = NodeFactory.create(is_enabled=False)
    data = {"name": "third", "address": "http://third.example", "user": "", "password": ""}

    assert warning not in save(boss, guarded, follow=True).text
    assert warning not in run(boss, "enable", other).text
    added = boss.post(reverse("admin:jobs_node_add"), data | {"is_enabled": "on"}, follow=True)
    assert warning in added.text
    assert f"set it to {2 + 3 * settings.COMFYUI_NODE_DEPTH} or more" in added.text
    assert warning in run(boss, "enable", other).text
    assert warning not in run(boss, "disable", other).text
