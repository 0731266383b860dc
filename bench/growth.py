"""What a finished edit takes in the database for ever, and what a claim costs among many of them.

One edit is really made; its rows are then copied by SQL, table by table, whatever columns they have. Bytes
are those of all tables with their indexes, after a VACUUM. Claims are
`jobs.scheduler.claim_next`; beside it stands the barest claim in SQL: one UPDATE of the first queued row.
A copy of the database as it was at the first level is kept, and the last level's claims take turns with
claims there: minutes lie between the levels, and in minutes a shared machine changes its speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.comfyui import costless_comfyui
from bench.pictures import picture
from bench.report import Figures, Goal, percentiles, run
from bench.system import System, installation, wait_until

PEOPLE = 1000
CLAIMS = 50
IN_TURN = 10  # claims of one database before it is the other's turn
GOALS = (Goal("bytes_per_job", 4096), Goal("claim_ratio", 2))
SIZE = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_stat_user_tables"
BAREST_CLAIM = """
UPDATE jobs_job SET progress = progress WHERE id = (
    SELECT id FROM jobs_job WHERE status = 'queued' ORDER BY priority DESC, turn, id LIMIT 1
    FOR UPDATE SKIP LOCKED
)
"""


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures: at each number of finished edits, with so many queued."""
    levels = (
        ((10, 20), (50, 20), (100, 40)) if quick else ((1_000, 1_000), (100_000, 1_000), (1_000_000, 10_000))
    )
    with (
        costless_comfyui() as comfyui,
        installation(COMFYUI_URL=comfyui, COMFYUI_NODE_DEPTH="1000") as system,
    ):
        system.set_up_django()
        job = _make_one_edit(system)
        return _grow(job, levels, 10 if quick else CLAIMS)


def _make_one_edit(system: System) -> int:
    from bench.jobs import submit_jobs, unfinished
    from jobs.models import Job
    from qwenedit.users.models import User

    submit_jobs(1, picture("JPEG"))
    worker = system.start_worker()
    wait_until(lambda: not unfinished())
    system.stop(worker)
    for number in range(PEOPLE):
        User.objects.create(username=f"person-{number}")
    job = Job.objects.get()
    if job.status != "succeeded":
        raise SystemExit(f"The edit {job.status}: {job.error_message}")
    return job.pk


def _grow(job: int, levels: tuple[tuple[int, int], ...], claims: int) -> Figures:
    from django.db import connection

    figures: Figures = {}
    database = connection.settings_dict["NAME"]
    at_first = f"{database}_at_first"
    _execute("VACUUM ANALYZE")
    empty, made = _value(SIZE), 1
    for finished, queued in levels:
        is_first, is_last = finished == levels[0][0], finished == levels[-1][0]
        _copy(job, made + 1, finished, finished=True)
        made = finished
        _execute("VACUUM ANALYZE")
        bytes_per_job = (_value(SIZE) - empty) / (finished - 1)
        _copy(job, 10_000_000, 10_000_000 + queued - 1, finished=False)
        _execute("ANALYZE")
        if is_first:
            _copy_database(database, at_first)
        bare = [_timed(lambda: _execute(BAREST_CLAIM)) for _ in range(claims)]
        times = _time_claims(claims, database, *([at_first] if is_last else []))
        _execute("DELETE FROM jobs_attempt WHERE job_id >= 10000000")
        _execute("DELETE FROM jobs_job WHERE id >= 10000000")
        _execute("VACUUM ANALYZE")
        figures |= {
            f"bytes_per_job_{finished}": round(bytes_per_job),
            **percentiles(f"claim_ms_{finished}_finished_{queued}_queued", times[database]),
            **percentiles(f"bare_claim_ms_{finished}", bare),
        }
    (first, few), (last, many) = levels[0], levels[-1]
    large = figures[f"claim_ms_{last}_finished_{many}_queued_p50"]
    beside = f"claim_ms_{first}_finished_{few}_queued_by_turns"
    figures |= percentiles(beside, times[at_first])
    return figures | {
        "bytes_per_job": figures[f"bytes_per_job_{last}"],
        "claim_ratio": round(large / figures[f"{beside}_p50"], 2),
        "claim_to_bare_ratio": round(large / figures[f"bare_claim_ms_{last}_p50"], 2),
    }


def _time_claims(claims: int, *databases: str) -> dict[str, list[float]]:
    """Return how many milliseconds claims took in each database, by turns; the first is used afterwards."""
    from jobs.scheduler import Claim, claim_next

    def claim() -> None:
        if not isinstance(claim_next(), Claim):
            raise SystemExit("There was nothing to claim")

    times: dict[str, list[float]] = {database: [] for database in databases}
    for _ in range(claims // IN_TURN):
        for database in databases:
            _use(database)
            claim()  # connects
            times[database] += [_timed(claim) for _ in range(IN_TURN)]
    _use(databases[0])
    return times


def _copy_database(name: str, copy: str) -> None:
    _use("postgres")  # nobody may be connected to what is copied
    _execute(f"CREATE DATABASE {copy} TEMPLATE {name}")
    _use(name)


def _use(database: str) -> None:
    """Connect to another database from now on."""
    from django.db import connection

    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict["NAME"] = database
    if (used := _value("SELECT current_database()")) != database:
        raise SystemExit(f"Connected to {used} instead of {database}")


def _copy(job: int, first: int, last: int, *, finished: bool) -> None:
    """Copy an edit to the ids `first` to `last`, of many people, without its past unless finished."""
    from django.apps import apps

    person = f"(SELECT min(id) + 1 FROM users_user) + mod(n, {PEOPLE})"  # noqa: S608
    own: dict[str, str] = {"id": "n", "user_id": person}
    if not finished:
        own |= {"status": "'queued'", "progress": "0", "started_at": "NULL", "finished_at": "NULL"}
    tables = [("jobs.Job", "id", own)]
    if finished:
        tables += [
            ("jobs.Attempt", "job_id", {"id": "gen_random_uuid()", "job_id": "n"}),
            ("jobs.JobImage", "job_id", {"job_id": "n"}),
            ("payments.LedgerEntry", "key", {"user_id": person, "key": "'job:' || n || ':charge'"}),
        ]
    for label, column, changes in tables:
        model = apps.get_model(label)
        fields = [field for field in model._meta.concrete_fields if not field.primary_key or "id" in changes]
        values = [changes.get(field.column, f"template.{field.column}") for field in fields]
        names = ", ".join(field.column for field in fields)
        _execute(
            f"INSERT INTO {model._meta.db_table} ({names}) SELECT {', '.join(values)} "  # noqa: S608
            f"FROM {model._meta.db_table} AS template, generate_series(%s, %s) AS n "
            f"WHERE template.{column} = %s",
            [first, last, f"job:{job}:charge" if column == "key" else job],
        )


def _execute(statement: str, parameters: Sequence[Any] = ()) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def _value(query: str) -> Any:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    run("growth", measure, GOALS)
