"""Credits and charges through the ledger, on one user and on many, beside UPDATEs of the balances alone.

Eight threads; every movement is a transaction of its own, on both sides. Fails where a balance is not the sum
of what was posted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from bench.report import Figures, run
from bench.system import installation

THREADS = 8


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises SystemExit where a balance is wrong."""
    moves, many = (80, 10) if quick else (8000, 1000)
    with installation(INITIAL_BALANCE="1000000") as system:
        system.set_up_django()
        from django.db import connection

        from payments import ledger
        from payments.models import LedgerEntry
        from qwenedit.users.models import User

        people = [User.objects.create(username=f"bench-{number}").pk for number in range(many)]
        figures: Figures = {"moves": moves, "threads": THREADS}
        for name, users in (("one_user", people[:1]), ("many_users", people)):

            def post(number: int, name: str = name, users: list[int] = users) -> None:
                ledger.post(
                    user_id=users[number % len(users)],
                    amount=7 if number % 2 else -7,
                    kind=LedgerEntry.Kind.GRANT,
                    key=f"grant:{name}-{number}",
                )

            def update(number: int, users: list[int] = users) -> None:
                with connection.cursor() as cursor:
                    cursor.execute(
                        "UPDATE users_user SET balance = balance + %s WHERE id = %s",
                        [7 if number % 2 else -7, users[number % len(users)]],
                    )

            ours = _rate(post, moves)
            if ledger.broken_balances().exists():
                raise SystemExit("Balances are not the sums of their entries")
            plain = _rate(update, moves)
            figures |= {
                f"{name}_per_second": round(ours),
                f"{name}_plain_per_second": round(plain),
                f"{name}_ratio": round(ours / plain, 3),
            }
            _restore()
    return figures


def _restore() -> None:
    """Take back what the plain UPDATEs did, so that the next check sees the ledger alone."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE users_user SET balance = total FROM (SELECT user_id, sum(amount) AS total "
            "FROM payments_ledgerentry GROUP BY user_id) AS sums WHERE user_id = users_user.id"
        )


def _rate(move: Callable[[int], None], count: int) -> float:
    """Return moves a second; the connections of the threads are open before the clock starts."""
    from django.db import connection

    together = Barrier(THREADS)

    def close() -> None:
        connection.close()
        together.wait()  # so that every thread closes its own

    with ThreadPoolExecutor(THREADS, initializer=connection.ensure_connection) as pool:
        started = time.perf_counter()
        list(pool.map(move, range(count)))
        seconds = time.perf_counter() - started
        list(pool.map(lambda _: close(), range(THREADS)))
    return count / seconds


if __name__ == "__main__":
    run("ledger", measure)
