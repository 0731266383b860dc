"""`/metrics` for Prometheus. Numbers come from the database on scrape, so every process gives the same."""

import hmac
from collections.abc import Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

import botapp.reports
import payments.reports
import webhooks.reports
from jobs import reports


class DatabaseCollector(Collector):
    """Reads the gauges from the database."""

    def collect(self) -> Iterator[Metric]:
        """Yield one family after another."""
        jobs = GaugeMetricFamily("qwenedit_jobs", "Jobs by status", labels=["status"])
        for status, count in reports.jobs_by_status().items():
            jobs.add_metric([status], count)
        yield jobs
        oldest = reports.oldest_due_age(timezone.now())
        yield GaugeMetricFamily(
            "qwenedit_oldest_queued_seconds",
            "Age of the oldest job that could run",
            value=oldest.total_seconds(),
        )
        failures = GaugeMetricFamily(
            "qwenedit_failed_attempts_hour", "Attempts that failed in the last hour, by code", labels=["code"]
        )
        for code, count in reports.failures_by_code(timezone.now()).items():
            failures.add_metric([code], count)
        yield failures
        nodes = GaugeMetricFamily(
            "qwenedit_node_healthy", "Whether a node may be given work", labels=["node"]
        )
        load = GaugeMetricFamily("qwenedit_node_attempts", "Attempts in flight on a node", labels=["node"])
        tripped = GaugeMetricFamily(
            "qwenedit_node_tripped", "Whether a node is paused or on trial after failures", labels=["node"]
        )
        for node in reports.nodes():
            nodes.add_metric([node.name], float(bool(node.is_healthy)))
            load.add_metric([node.name], node.in_flight)
            tripped.add_metric([node.name], float(node.tripped_until is not None))
        yield nodes
        yield load
        yield tripped
        yield from _money()
        yield from _bot()
        yield from _webhooks()


def _money() -> Iterator[Metric]:
    discrepancies = GaugeMetricFamily(
        "qwenedit_discrepancies_open", "Differences with the gateway that wait for a person", labels=["kind"]
    )
    for kind, count in payments.reports.open_discrepancies().items():
        discrepancies.add_metric([kind], count)
    yield discrepancies
    yield GaugeMetricFamily(
        "qwenedit_pending_payments",
        "Payments neither paid nor given up",
        value=payments.reports.pending_payments(),
    )
    yield GaugeMetricFamily(
        "qwenedit_pending_refunds",
        "Refunds without a known outcome",
        value=payments.reports.pending_refunds(),
    )
    yield GaugeMetricFamily(
        "qwenedit_open_notifications",
        "Notifications of payments that are not processed yet",
        value=payments.reports.open_notifications(),
    )


def _bot() -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "qwenedit_open_deliveries", "Messages of the bot that are neither sent nor given up", labels=["lane"]
    )
    due = GaugeMetricFamily(
        "qwenedit_oldest_due_delivery_seconds",
        "How long ago the longest-waiting message should have been sent",
        labels=["lane"],
    )
    for lane, count in botapp.reports.open_deliveries().items():
        waiting.add_metric([lane.name.lower()], count)
    for lane, age in botapp.reports.longest_due(timezone.now()).items():
        due.add_metric([lane.name.lower()], age.total_seconds())
    yield waiting
    yield due
    yield GaugeMetricFamily(
        "qwenedit_open_updates",
        "Updates from Telegram that are not answered yet",
        value=botapp.reports.open_updates(),
    )


def _webhooks() -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "qwenedit_open_webhooks",
        "Webhooks that are neither delivered nor given up",
        value=webhooks.reports.open_deliveries(),
    )
    yield GaugeMetricFamily(
        "qwenedit_oldest_due_webhook_seconds",
        "How long ago the longest-waiting webhook should have been sent",
        value=webhooks.reports.longest_due(timezone.now()).total_seconds(),
    )
    yield GaugeMetricFamily(
        "qwenedit_failing_webhook_endpoints",
        "Addresses of integrators that were not reached the last time",
        value=webhooks.reports.failing_endpoints(),
    )


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer the scrape; 401 where METRICS_TOKEN is set and the bearer token is another."""
    token = settings.METRICS_TOKEN
    if token and not hmac.compare_digest(
        request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()
    ):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    registry = CollectorRegistry()
    registry.register(DatabaseCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
