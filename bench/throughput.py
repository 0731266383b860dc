"""Many queued costless edits of many users: edits/s, beside a direct client and tasks that do nothing.

The edits wait in the queue, with their wake-ups in the broker, before the worker starts; the time runs from
the first claim to the last result stored. The direct client has two connections, as many as the system keeps
attempts on a node, and works just before. Both take turns for a few rounds, of which the median counts: a
round is over in seconds, and the speed of a shared machine changes from one to the next. The tasks that do
nothing run through the same broker, worker and settings; their time runs from the first that a worker took
to the last.
Fails where an edit is lost, or the audit finds anything.
"""

from __future__ import annotations

from operator import truediv
from statistics import median

from bench.comfyui import costless_comfyui
from bench.direct import edits_per_second
from bench.pictures import picture
from bench.report import Figures, Goal, run
from bench.system import System, installation, wait_until

CLIENTS = 2  # the default of COMFYUI_NODE_DEPTH
PATIENCE = 300.0
NOOPS = 2000
GOALS = (Goal("jobs_per_second", 100, least=True),)


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises SystemExit where work is lost or doubled."""
    rounds, count = (2, 10) if quick else (5, 500)
    direct, rates = [], []
    with (
        costless_comfyui() as comfyui,
        installation(COMFYUI_URL=comfyui, INITIAL_BALANCE="100000") as system,
    ):
        system.set_up_django()
        noops = _noops_per_second(system, count if quick else NOOPS)
        system.start_beat()
        wait_until(lambda: list((system.folder / "var").glob("celerybeat-schedule*")), what="beat")
        for _ in range(rounds):
            direct.append(edits_per_second(comfyui, picture("JPEG"), count, clients=CLIENTS))
            rates.append(_jobs_per_second(system, count))
        attempts = _count_attempts()
        system.manage("audit")
    rate = median(rates)
    return {
        "rounds": rounds,
        "jobs": count,
        "jobs_per_second": round(rate, 1),
        "jobs_per_second_slowest": round(min(rates), 1),
        "jobs_per_second_fastest": round(max(rates), 1),
        "direct_per_second": round(median(direct), 1),
        "celery_noops_per_second": round(noops, 1),
        "ratio_to_direct": round(median(map(truediv, rates, direct)), 3),
        "ratio_to_celery": round(rate / noops, 3),
        "attempts_per_job": round(attempts / (rounds * count), 3),
    }


def _jobs_per_second(system: System, count: int) -> float:
    from django.db.models import Max, Min

    from bench.jobs import count_succeeded, submit_jobs, unfinished
    from jobs.models import Job

    earlier = count_succeeded()
    new = Job.objects.filter(pk__in=submit_jobs(count, picture("JPEG")))
    worker = system.start_worker()
    wait_until(lambda: not unfinished(), seconds=PATIENCE, every=0.5)
    system.stop(worker)
    if (succeeded := count_succeeded() - earlier) != count:
        raise SystemExit(f"{succeeded} of {count} edits have a result")
    span = new.aggregate(first=Min("started_at"), last=Max("finished_at"))
    seconds: float = (span["last"] - span["first"]).total_seconds()
    return count / seconds


def _count_attempts() -> int:
    from jobs.models import Attempt

    return Attempt.objects.count()


def _noops_per_second(system: System, count: int) -> float:
    from bench.noop import noop

    target = system.folder / "noops"
    for _ in range(count):
        noop.delay(count, str(target))
    worker = system.start_worker("bench.noop")
    wait_until(target.exists)
    system.stop(worker)
    return float(target.read_text())


if __name__ == "__main__":
    run("throughput", measure, GOALS)
