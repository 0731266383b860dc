"""What machines ask: `/healthz`, `/readyz`, `/metrics`; and the pages people meet first."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from typing import Any

import pytest
import requests
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from jobs.models import Attempt
from jobs.states import AttemptStatus, JobStatus
from qwenedit import health
from tests.api.server import WebServer
from tests.factories import AttemptFactory, JobFactory, NodeFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_healthz_asks_nobody(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_readyz_is_ready_with_database_migrations_and_broker(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "database": "ok", "migrations": "ok", "broker": "ok"},
    )
    assert "no-store" in answer.headers["Cache-Control"]


def test_readyz_waits_for_migrations(client: Client) -> None:
    MigrationRecorder.Migration.objects.filter(app="jobs").delete()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert re.fullmatch(r"\d+ to apply", answer.json()["migrations"])
    assert answer.json()["status"] == "unavailable"


@pytest.mark.parametrize("address", ["/healthz", "/readyz", "/metrics", "/"])
def test_they_are_read_and_not_written(client: Client, address: str) -> None:
    assert client.head(address).status_code == 200
    assert client.post(address).status_code == 405


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.processes
class TestOutages:
    """The site without what it stands on."""

    def test_readyz_is_503_while_the_broker_is_down(self, closed_port: int) -> None:
        with WebServer(REDIS_URL=f"redis://127.0.0.1:{closed_port}") as server:
            answer = requests.get(f"{server.url}/readyz", timeout=30)
            assert answer.status_code == 503
            assert answer.json() == {
                "status": "unavailable",
                "database": "ok",
                "migrations": "ok",
                "broker": "does not answer",
            }
            assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200

    def test_readyz_does_not_wait_for_a_broker_that_is_silent(self, silent_port: int) -> None:
        with WebServer(REDIS_URL=f"redis://127.0.0.1:{silent_port}") as server:
            requests.get(f"{server.url}/healthz", timeout=60)  # the first request loads the site
            answer = requests.get(f"{server.url}/readyz", timeout=30)
        assert (answer.status_code, answer.json()["broker"]) == (503, "does not answer")

    def test_a_database_that_is_away_is_waited_for_once(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, db: None
    ) -> None:
        asked: list[str] = []
        monkeypatch.setattr(health, "_database", lambda: asked.append("database") or "does not answer")
        monkeypatch.setattr(health, "_migrations", lambda: asked.append("migrations") or "")
        answer = client.get("/readyz")
        assert (answer.status_code, asked) == (503, ["database"])
        assert answer.json()["migrations"] == "unknown"

    def test_readyz_is_503_while_the_database_is_down(self, closed_port: int) -> None:
        with WebServer(DATABASE_URL=f"postgres://a:b@127.0.0.1:{closed_port}/c") as server:
            answer = requests.get(f"{server.url}/readyz", timeout=60)
            assert answer.status_code == 503
            assert answer.json()["database"] == "does not answer"
            assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200


class TestMetrics:
    """What Prometheus reads."""

    def samples(self, client: Client, **headers: str) -> dict[tuple[str, str], float]:
        """Return the samples by name and the value of their label."""
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == 200
        return {
            (sample.name, "".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.content.decode())
            for sample in family.samples
        }

    def test_tells_of_jobs_attempts_and_nodes(self, client: Client) -> None:
        user = UserFactory.create(balance=500)
        node = NodeFactory.create(name="gpu-1", is_healthy=True)
        NodeFactory.create(name="gpu-2", is_healthy=False, tripped_until=timezone.now())
        running = JobFactory.create(user=user, status=JobStatus.RUNNING)
        Attempt.objects.filter(job=running).update(node=node)
        queued = JobFactory.create_batch(2, user=user)
        AttemptFactory.create(
            job=queued[0],
            node=node,
            status=AttemptStatus.FAILED,
            error_code="out_of_memory",
            finished_at=queued[0].created_at,
        )
        samples = self.samples(client)
        assert samples["qwenedit_jobs", "queued"] == 2
        assert samples["qwenedit_jobs", "running"] == 1
        assert samples["qwenedit_jobs", "failed"] == 0
        assert samples["qwenedit_oldest_queued_seconds", ""] > 0
        assert samples["qwenedit_failed_attempts_hour", "out_of_memory"] == 1
        assert samples["qwenedit_node_tripped", "gpu-1"] == 0
        assert samples["qwenedit_node_tripped", "gpu-2"] == 1
        assert samples["qwenedit_node_healthy", "gpu-1"] == 1
        assert samples["qwenedit_node_healthy", "gpu-2"] == 0
        assert samples["qwenedit_node_attempts", "gpu-1"] == 1

    def test_of_an_idle_system_are_zero(self, client: Client) -> None:
        samples = self.samples(client)
        assert samples["qwenedit_jobs", "queued"] == 0
        assert samples["qwenedit_oldest_queued_seconds", ""] == 0

    def test_never_show_a_nodes_credentials(self, client: Client) -> None:
        NodeFactory.create(url="http://user:hunter2@gpu.example:8188")
        assert "hunter2" not in client.get("/metrics").content.decode()

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "s3cret", "Basic s3cret", "Bearer é"])
    def test_with_a_token_are_told_to_nobody_without_it(
        self, client: Client, settings: Any, header: str
    ) -> None:
        settings.METRICS_TOKEN = "s3cret"
        answer = client.get("/metrics", headers={"authorization": header})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.content == b""

    def test_with_a_token_are_told_to_who_has_it(self, client: Client, settings: Any) -> None:
        settings.METRICS_TOKEN = "s3cret"
        assert self.samples(client, authorization="Bearer s3cret")


class Assets(HTMLParser):
    """Collects what a page loads and where it leads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of a tag."""
        values = dict(attrs)
        if tag == "a":
            self.links.append(values.get("href") or "")
        elif address := values.get("src") or values.get("href"):
            self.loaded.append(address)


class TestPages:
    """What people see in a browser, without the internet."""

    def test_home_says_what_this_is_and_where_everything_is(self, client: Client) -> None:
        page = client.get("/").content.decode()
        assets = Assets(page)
        assert assets.links == ["/api/docs/", "/admin/", "/readyz", "/api/schema/"]
        assert all(address.startswith("data:") for address in assets.loaded)
        assert "curl http://testserver/api/v1/jobs/" in page

    def test_home_names_the_host_it_was_asked_by(self, client: Client, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["edit.example"]
        page = client.get("/", headers={"host": "edit.example:8443"}).content.decode()
        assert "curl http://edit.example:8443/api/v1/jobs/" in page

    def test_every_link_of_home_leads_somewhere(self, client: Client) -> None:
        for link in Assets(client.get("/").content.decode()).links:
            assert client.get(link).status_code in (200, 302), link

    def test_the_docs_load_nothing_from_elsewhere(self, client: Client) -> None:
        page = client.get("/api/docs/").content.decode()
        assets = Assets(page).loaded
        assert len(assets) >= 3
        for address in assets:
            assert address.startswith("/static/"), address
            with closing(client.get(address)) as answer:
                assert answer.status_code == 200, address
        assert not re.findall(r"https?://(?!testserver)[^\s\"'<]+", page)

    def test_the_schema_is_served_as_yaml_and_as_json(self, client: Client) -> None:
        assert client.get("/api/schema/").headers["Content-Type"].startswith("application/vnd.oai.openapi")
        answer = client.get("/api/schema/", headers={"accept": "application/json"})
        assert json.loads(answer.content)["openapi"].startswith("3.")
