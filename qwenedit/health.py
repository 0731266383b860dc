"""`/healthz`: the process is alive. `/readyz`: it can do its work."""

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError

from qwenedit.celery import app

# Less than the usual patience of whoever asks; a broker may be silent rather than gone.
BROKER_TIMEOUT = 2


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer that this process is alive; asks nothing of anybody."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 where database, broker and migrations are ready, else 503 with what is not."""
    database = _database()
    problems = {
        "database": database,
        "migrations": "unknown" if database else _migrations(),  # one that is away is waited for once
        "broker": _broker(),
    }
    is_ready = not any(problems.values())
    body = {
        "status": "ok" if is_ready else "unavailable",
        **{name: problem or "ok" for name, problem in problems.items()},
    }
    return JsonResponse(body, status=200 if is_ready else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "does not answer"
    return ""


def _migrations() -> str:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "unknown"
    return f"{len(pending)} to apply" if pending else ""


def _broker() -> str:
    timeouts = {"socket_timeout": BROKER_TIMEOUT, "socket_connect_timeout": BROKER_TIMEOUT}
    try:
        with app.connection_for_write(transport_options=timeouts) as broker:
            broker.ensure_connection(max_retries=0, timeout=BROKER_TIMEOUT)
    except (OperationalError, OSError):
        return "does not answer"
    return ""
