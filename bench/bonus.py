"""The weekly bonus for many users on a PostgreSQL of its own, beside plain SQL that does the same sums.

The plain side is one INSERT … SELECT of entries and one UPDATE of balances, in one transaction, on a copy of
the same database: no keys to look out for, no notices, no log lines, everybody locked until the end.
The log goes to a file, as one line per user is part of the job.
"""

from __future__ import annotations

import logging
import logging.config
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench.report import Figures, run
from tests.postgres import DATABASE, PostgresServer

FRIDAY_EVENING = datetime(2026, 11, 27, 20, 0, 30, tzinfo=UTC)
AMOUNT = 10
WELCOME = 60
COPY = f"{DATABASE}_plain"

MAKE_USERS = """
INSERT INTO users_user (
    username, telegram_id, balance, date_joined, password, first_name, last_name, email, language,
    is_superuser, is_staff, is_active, is_blocked
)
SELECT 'telegram-' || n, 5000000000 + n, %s, '2026-01-01', '!', '', '', '', 'ru', false, false, true, false
FROM generate_series(1, %s) AS n
"""
MAKE_WELCOMES = """
INSERT INTO payments_ledgerentry (user_id, amount, balance_after, kind, key, description, created_at)
SELECT id, balance, balance, 'initial', 'user:' || id || ':initial', 'Welcome', date_joined FROM users_user
"""
PLAIN_INSERT = """
INSERT INTO payments_ledgerentry (user_id, amount, balance_after, kind, key, description, created_at)
SELECT id, %(amount)s, balance + %(amount)s, 'weekly_bonus', 'bonus:weekly:2026-W48:' || id, 'Weekly bonus',
       now()
FROM users_user
"""
PLAIN_UPDATE = "UPDATE users_user SET balance = balance + %(amount)s"
LEFT_WRONG = """
SELECT
    (SELECT count(*) FROM users_user WHERE balance <> %(balance)s),
    (SELECT count(*) FROM payments_ledgerentry WHERE kind = 'weekly_bonus' AND balance_after <> %(balance)s),
    %(users)s - (SELECT count(DISTINCT user_id) FROM payments_ledgerentry WHERE kind = 'weekly_bonus'),
    %(users)s - (SELECT count(*) FROM payments_bonusnotice)
"""


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures of one run on a database of its own; raises SystemExit where somebody's is wrong."""
    with tempfile.TemporaryDirectory(prefix="qwenedit-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
        with PostgresServer(folder / "postgres") as server:
            return _compare(server.url, folder, 1_000 if quick else 1_000_000)


def _compare(url: str, folder: Path, users: int) -> Figures:
    """Return the figures of one run; both sides start from copies of one database."""
    os.environ |= {
        "DATABASE_URL": url,
        "VAR_DIR": str(folder),
        "LOG_FORMAT": "json",
        "DJANGO_SETTINGS_MODULE": "qwenedit.settings",
        "WEEKLY_BONUS_AMOUNT": str(AMOUNT),
        "WEEKLY_BONUS_DAY": "4",
        "WEEKLY_BONUS_TIME": "20:00",
    }
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import DEFAULT_DB_ALIAS, connections

    call_command("migrate", interactive=False, verbosity=0)
    connections[DEFAULT_DB_ALIAS].close()
    # Nobody may be connected to a database that is copied.
    connections[DEFAULT_DB_ALIAS].close_pool()  # type: ignore[attr-defined]
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(MAKE_USERS, [WELCOME, users])
        database.execute(MAKE_WELCOMES)
        database.execute("VACUUM (ANALYZE)")
    server = url.removesuffix(DATABASE)
    with psycopg.connect(f"{server}postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {COPY} TEMPLATE {DATABASE}")
    plain = _run_plain(f"{server}{COPY}")
    seconds, repeated, lines = _run_bonus(folder / "log", users)
    with psycopg.connect(url) as database:
        wrong = database.execute(LEFT_WRONG, {"balance": WELCOME + AMOUNT, "users": users}).fetchone()
    if wrong is None or any(wrong) or lines != users:
        raise SystemExit(f"The bonus came out wrong: {wrong}, {lines} log lines for {users} users")
    return {
        "users": users,
        "seconds": round(seconds, 1),
        "plain_seconds": round(plain, 1),
        "ratio": round(seconds / plain, 2),
        "users_per_second": round(users / seconds),
        "repeat_ms": round(repeated * 1000, 2),
    }


def _run_plain(url: str) -> float:
    with psycopg.connect(url) as database:
        started = time.perf_counter()
        database.execute(PLAIN_INSERT, {"amount": AMOUNT})
        database.execute(PLAIN_UPDATE, {"amount": AMOUNT})
        database.commit()
        return time.perf_counter() - started


def _run_bonus(log: Path, users: int) -> tuple[float, float, int]:
    """Return the seconds of the run, those of a tick after it, and how many users the log names."""
    from payments.bonus import issue_weekly_bonus

    [handler] = logging.getLogger().handlers
    if not isinstance(handler, logging.StreamHandler):
        raise SystemExit("The project no longer logs to a stream")
    with log.open("w") as stream:
        usual = handler.setStream(stream)
        started = time.perf_counter()
        given = issue_weekly_bonus(FRIDAY_EVENING)
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        given += issue_weekly_bonus(FRIDAY_EVENING)
        repeated = time.perf_counter() - started
        handler.setStream(usual)
    if given != users:
        raise SystemExit(f"{given} of {users} users got their bonus")
    with log.open() as stream:
        return (
            seconds,
            repeated,
            sum("Weekly bonus issued successfully: payment_id=" in line for line in stream),
        )


if __name__ == "__main__":
    run("bonus", measure)
