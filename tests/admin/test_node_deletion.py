"""Which nodes are deleted in the admin, and what staff are told of the others."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import node_samples
from jobs.admin import node_panels
from jobs.models import Node, NodeSample
from tests.admin.forms import messages
from tests.factories import AttemptFactory, NodeFactory

LIST = "admin:jobs_node_changelist"
SURE = {"post": "yes"}
Delete = Callable[..., Any]


def from_its_page(client: Client, *rows: Node, **sure: str) -> Any:
    """Delete a node from its own page."""
    (node,) = rows
    return client.post(reverse("admin:jobs_node_delete", args=[node.pk]), sure, follow=True)


def from_the_list(client: Client, *rows: Node, **sure: str) -> Any:
    """Delete nodes by the action of the list."""
    data = {"action": "delete_selected", "_selected_action": [node.pk for node in rows], **sure}
    return client.post(reverse(LIST), data, follow=True)


either_way = pytest.mark.parametrize("delete", [from_its_page, from_the_list])


@either_way
def test_a_node_that_never_had_work_is_deleted_with_its_samples(boss: Client, delete: Delete) -> None:
    node = NodeFactory.create(vram_free=1, queue_length=1)
    node_samples.record(node, now=node.created_at)

    question = delete(boss, node)
    assert question.status_code == 200
    assert node.name in question.text
    assert "node sample" not in question.text.lower()
    answer = delete(boss, node, **SURE)

    assert "uccessfully" in messages(answer)
    assert not Node.objects.exists()
    assert not NodeSample.objects.exists()


@either_way
def test_a_node_with_a_history_of_edits_is_kept_and_staff_are_told_what_to_do(
    boss: Client, delete: Delete
) -> None:
    used = AttemptFactory.create().node

    for answer in (delete(boss, used), delete(boss, used, **SURE)):
        assert answer.status_code == 200
        assert "Cannot delete" in answer.text
        assert "edits were made on it" in answer.text
        assert "Drain it, so that it finishes what it has, or disable it." in answer.text

    assert Node.objects.get() == used


@either_way
def test_a_node_of_the_environment_would_come_back(boss: Client, delete: Delete) -> None:
    node = NodeFactory.create(from_environment=True)

    answer = delete(boss, node, **SURE)

    assert "COMFYUI_URL names it and would bring it back" in answer.text
    assert Node.objects.exists()


def test_one_node_that_is_kept_keeps_the_others_of_the_choice(boss: Client) -> None:
    used, unused = AttemptFactory.create().node, NodeFactory.create()

    text = from_the_list(boss, used, unused, **SURE).text

    assert f"{used.name}: edits were made on it" in text
    assert f"{unused.name}: edits were made on it" not in text
    assert set(Node.objects.all()) == {used, unused}


@either_way
def test_a_node_that_is_given_work_between_question_and_answer_is_kept(
    boss: Client, delete: Delete, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = AttemptFactory.create().node
    monkeypatch.setattr(node_panels, "why_kept", lambda _node: "")

    answer = delete(boss, used, **SURE)

    assert "a node has just been given work" in messages(answer)
    assert Node.objects.get() == used


def test_attempts_are_not_read_in_order_to_refuse(boss: Client) -> None:
    used = AttemptFactory.create().node

    with CaptureQueriesContext(connection) as queries:
        from_its_page(boss, used)

    of_attempts = [query["sql"] for query in queries if 'FROM "jobs_attempt"' in query["sql"]]
    assert of_attempts
    assert all("LIMIT 1" in sql or "COUNT(" in sql for sql in of_attempts), of_attempts


def test_without_the_permission_nothing_is_deleted(staff: Callable[..., Client]) -> None:
    node = NodeFactory.create()
    editor = staff("view_node", "change_node")

    assert from_its_page(editor, node, **SURE).status_code == 403
    from_the_list(editor, node, **SURE)

    assert Node.objects.get() == node
