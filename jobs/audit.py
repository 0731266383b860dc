"""The invariants of jobs: charged once, refunded exactly if they did not succeed, nobody's work lost."""

from datetime import timedelta

from django.conf import settings
from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from jobs.models import Job, JobImage
from jobs.states import FINAL, AttemptStatus, JobStatus
from payments.models import LedgerEntry
from qwenedit.lib.audit import Finding

PATIENCE = timedelta(minutes=2)  # recovery takes less than one; an audit of a living system needs slack


def findings() -> list[Finding]:
    """Check every invariant of jobs."""
    now = timezone.now()
    jobs = Job.objects.annotate(
        charged=Exists(_entry("charge", kind=LedgerEntry.Kind.EDIT, amount=OuterRef("price") * -1)),
        refunded=Exists(_entry("refund", kind=LedgerEntry.Kind.EDIT_REFUND, amount=OuterRef("price"))),
        active=Count("attempts", filter=Q(attempts__status=AttemptStatus.ACTIVE)),
        pictured=Exists(JobImage.objects.filter(job=OuterRef("pk"), role=JobImage.Role.RESULT)),
    )
    undone = Q(status__in=[JobStatus.FAILED, JobStatus.CANCELLED])
    kept = now - timedelta(days=settings.RESULT_RETENTION_DAYS)
    twice = Job.objects.annotate(
        successes=Count("attempts", filter=Q(attempts__status=AttemptStatus.SUCCEEDED))
    ).filter(successes__gt=1)
    # Keys are unique, so that every job has at most one of each: what is left over has no job.
    stray_charges = _count(LedgerEntry.Kind.EDIT) - jobs.filter(charged=True).count()
    stray_refunds = _count(LedgerEntry.Kind.EDIT_REFUND) - jobs.filter(refunded=True).count()
    return [
        Finding.of("every job is charged once", jobs.filter(charged=False)),
        Finding.of("a failed or cancelled job is refunded", jobs.filter(undone, refunded=False)),
        Finding.of("no other job is refunded", jobs.filter(refunded=True).exclude(undone)),
        Finding.of(
            "a running job has one attempt on a node", jobs.filter(status=JobStatus.RUNNING).exclude(active=1)
        ),
        Finding.of("a queued job has none", jobs.filter(status=JobStatus.QUEUED, active__gt=0)),
        Finding.of(
            "nobody follows the attempt of a finished job",
            jobs.filter(status__in=FINAL, finished_at__lt=now - PATIENCE, active__gt=0),
        ),
        Finding.of(
            "no job runs without a runner",
            jobs.filter(status=JobStatus.RUNNING, lease_until__lt=now - PATIENCE),
        ),
        Finding.of(
            "a successful job has its result",
            jobs.filter(status=JobStatus.SUCCEEDED, finished_at__gt=kept, pictured=False).exclude(
                user__erased_at__gte=F("finished_at")
            ),
        ),
        Finding.of("a finished job says when", jobs.filter(status__in=FINAL, finished_at=None)),
        Finding.of("no job succeeded twice", twice),
        Finding("every charge and refund belongs to a job", stray_charges + stray_refunds),
    ]


def _entry(cause: str, *, kind: LedgerEntry.Kind, amount: Combinable) -> QuerySet[LedgerEntry]:
    key = Concat(Value("job:"), Cast(OuterRef("pk"), CharField()), Value(f":{cause}"))
    return LedgerEntry.objects.filter(key=key, kind=kind, user_id=OuterRef("user_id"), amount=amount)


def _count(kind: LedgerEntry.Kind) -> int:
    return LedgerEntry.objects.filter(kind=kind).count()
