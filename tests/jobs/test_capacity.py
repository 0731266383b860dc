"""Warnings of more nodes than a worker has threads for."""

from typing import Any

import pytest

from jobs import nodes
from jobs.capacity import wanted_threads
from jobs.checks import check_worker_threads
from tests.factories import NodeFactory


@pytest.fixture(autouse=True)
def _eight_threads(settings: Any) -> None:
    settings.WORKER_THREADS = 8
    settings.COMFYUI_NODE_DEPTH = 2
    settings.COMFYUI_URLS = []


def test_every_attempt_of_an_enabled_node_needs_a_thread_and_two_are_for_others(db: None) -> None:
    NodeFactory.create_batch(3)
    NodeFactory.create(is_enabled=False)
    assert wanted_threads() is None

    NodeFactory.create(is_draining=True)  # it will be back
    assert wanted_threads() == 10


def test_the_check_counts_the_nodes_of_the_environment(settings: Any) -> None:
    settings.COMFYUI_URLS = ["http://a", "http://b", "http://c"]
    assert check_worker_threads() == []

    settings.COMFYUI_URLS.append("http://d")

    (warning,) = check_worker_threads()
    assert (warning.id, "10 or more" in str(warning.hint)) == ("jobs.W001", True)


def test_a_worker_that_starts_counts_the_nodes_of_the_database_too(
    db: None, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.COMFYUI_URLS = ["http://a"]
    nodes.follow_environment()
    assert "can not follow" not in caplog.text

    NodeFactory.create_batch(3)
    nodes.follow_environment()

    assert "One worker can not follow all attempts of the nodes" in caplog.text
