"""Edits and what they need: presets, nodes, jobs, their attempts and pictures.

The Job table is the queue. A job's row says everything a runner needs; messages only wake runners up.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from jobs.states import ACTIVE, AttemptStatus, JobStatus, sources
from qwenedit.errors import DomainError


class StaleState(DomainError):
    """The row is no longer in a state, or under a lease, from which this change is allowed."""

    code = "conflict"
    status = 409

    @classmethod
    def of(cls, target: JobStatus) -> StaleState:
        """Return the error of a job that can not become `target`."""
        return cls(f"The job can no longer become {target}.")


class Category(models.Model):
    """A shelf of the preset catalogue; shelves may stand inside shelves."""

    slug = models.SlugField(_("slug"), max_length=40, unique=True)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="children"
    )
    title_ru = models.CharField(_("title, Russian"), max_length=60)
    title_en = models.CharField(_("title, English"), max_length=60)
    icon = models.CharField(_("icon"), max_length=16, blank=True)
    sort_order = models.PositiveIntegerField(_("sort order"), default=0)
    is_customised = models.BooleanField(_("edited here"), default=False, editable=False)

    class Meta:
        verbose_name_plural = _("categories")
        ordering = ["sort_order", "id"]

    def __str__(self) -> str:
        return self.title_en


class PresetQuerySet(models.QuerySet["Preset"]):
    """Reads of presets."""

    def on_offer(self) -> PresetQuerySet:
        """Keep presets that users may choose."""
        return self.filter(is_active=True)


class Preset(models.Model):
    """A ready-made wish: one prompt for the model, under a title in each language."""

    slug = models.SlugField(_("slug"), max_length=40, unique=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="presets")
    title_ru = models.CharField(_("title, Russian"), max_length=60)
    title_en = models.CharField(_("title, English"), max_length=60)
    icon = models.CharField(_("icon"), max_length=16, blank=True)
    prompt = models.TextField(_("prompt, English"), max_length=1000)
    photos = models.PositiveSmallIntegerField(_("number of photos"), default=1)
    # [{"ru", "en"}], one a photo; empty where a single photo needs no name
    photo_titles: models.JSONField[Any, Any] = models.JSONField(
        _("what the photos show"), default=list, blank=True
    )
    price = models.PositiveIntegerField(
        _("price, points"), null=True, blank=True, help_text=_("Empty: the usual price of an edit.")
    )
    sort_order = models.PositiveIntegerField(_("sort order"), default=0)
    is_active = models.BooleanField(_("on offer"), default=True)
    sample_before = models.ImageField(_("sample, before"), upload_to="samples/", blank=True)
    sample_after = models.ImageField(_("sample, after"), upload_to="samples/", blank=True)
    is_customised = models.BooleanField(_("edited here"), default=False, editable=False)

    objects = PresetQuerySet.as_manager()

    class Meta:
        ordering = ["category__sort_order", "sort_order", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(photos__gte=1, photos__lte=3), name="jobs_preset_photos_1_to_3"
            )
        ]

    def __str__(self) -> str:
        return self.title_en

    @property
    def cost(self) -> int:
        """Price in points."""
        return settings.EDIT_COST if self.price is None else self.price


class NodeQuerySet(models.QuerySet["Node"]):
    """Reads of nodes."""

    def in_service(self) -> NodeQuerySet:
        """Keep nodes that may be given new work, whether they answer or not."""
        return self.filter(is_enabled=True, is_draining=False)

    def with_load(self) -> NodeQuerySet:
        """Annotate `in_flight`, the attempts on the node now; in the order in which claims take nodes.

        The least busy come first, silent ones last.
        """
        # Counted in the few rows of a partial index: a join would read every attempt ever made.
        active = Attempt.objects.filter(node=models.OuterRef("pk"), status=AttemptStatus.ACTIVE)
        counted = active.order_by().values("node").annotate(count=models.Count("pk")).values("count")
        silent = models.Case(models.When(is_healthy=False, then=1), default=0)
        return self.annotate(in_flight=Coalesce(models.Subquery(counted), 0)).order_by(
            silent, "in_flight", "pk"
        )


class Node(models.Model):
    """One ComfyUI server. Rows come from COMFYUI_URL at start, and from the admin."""

    name = models.CharField(_("name"), max_length=100)
    url = models.CharField(_("address"), max_length=500, unique=True, help_text=_("May hold user:password@."))
    is_enabled = models.BooleanField(_("enabled"), default=True)
    is_draining = models.BooleanField(
        _("draining"), default=False, help_text=_("Finishes what it has, takes nothing new.")
    )
    from_environment = models.BooleanField(_("from COMFYUI_URL"), default=False, editable=False)
    is_healthy = models.BooleanField(_("answers"), null=True, editable=False)
    checked_at = models.DateTimeField(_("checked"), null=True, editable=False)
    healthy_at = models.DateTimeField(_("last answered"), null=True, editable=False)
    stalled_since = models.DateTimeField(_("executes nothing since"), null=True, editable=False)
    problem = models.CharField(_("problem"), max_length=300, blank=True, editable=False)
    version = models.CharField(_("ComfyUI version"), max_length=40, blank=True, editable=False)
    device = models.CharField(_("device"), max_length=200, blank=True, editable=False)
    vram_total = models.BigIntegerField(_("VRAM, bytes"), null=True, editable=False)
    vram_free = models.BigIntegerField(_("VRAM free, bytes"), null=True, editable=False)
    queue_length = models.PositiveIntegerField(_("prompts in its queue"), null=True, editable=False)
    failures_in_row = models.PositiveSmallIntegerField(_("failures in a row"), default=0, editable=False)
    tripped_at = models.DateTimeField(_("pause began"), null=True, editable=False)
    tripped_until = models.DateTimeField(_("paused until"), null=True, editable=False)  # see `jobs.breaker`
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    in_flight: int  # where `with_load` annotated it

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_silent(self) -> bool:
        """Whether it did not answer the last time; one that answers but executes nothing is not silent."""
        return self.is_healthy is False and self.stalled_since is None

    @property
    def shown_url(self) -> str:
        """The address without its credentials: the only form that pages and logs may show."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class NodeEvent(models.Model):
    """A change of a node's state, and what the node had said of itself by then."""

    class Kind(models.TextChoices):
        ANSWERS = "answers", _("answers")
        SILENT = "silent", _("silent")
        STALLED = "stalled", _("executes nothing")
        EXECUTES = "executes", _("executes again")
        TRIPPED = "tripped", _("paused")
        CLOSED = "closed", _("trusted again")
        DRAINED = "drained", _("draining")
        RESUMED = "resumed", _("draining ended")
        DISABLED = "disabled", _("disabled")
        ENABLED = "enabled", _("enabled")
        VERSION = "version", _("version changed")

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField(_("at"), default=timezone.now)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    vram_free = models.BigIntegerField(_("VRAM free, bytes"), null=True)
    queue_length = models.PositiveIntegerField(_("prompts in its queue"), null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["node", "-id"], name="jobs_nodeevent_node")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"


class NodeSample(models.Model):
    """What a node said of itself in one minute; none where it was silent. See `jobs.node_samples`."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="samples", db_index=False)
    at = models.DateTimeField(_("minute"))
    vram_free = models.BigIntegerField(_("VRAM free, bytes"))
    queue_length = models.PositiveIntegerField(_("prompts in its queue"))

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["node", "at"], name="jobs_nodesample_minute")]

    def __str__(self) -> str:
        return f"{self.queue_length} in the queue at {self.at:%Y-%m-%d %H:%M}"


class JobQuerySet(models.QuerySet["Job"]):
    """Reads of jobs."""

    def unfinished(self) -> JobQuerySet:
        """Keep jobs that are queued or running."""
        return self.filter(status__in=ACTIVE)

    def due(self, now: datetime) -> JobQuerySet:
        """Keep queued jobs that may start: a retry waits for its time."""
        return self.filter(status=JobStatus.QUEUED).filter(
            Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now)
        )

    def abandoned(self, now: datetime) -> JobQuerySet:
        """Keep running jobs whose runner stopped renewing its lease."""
        return self.filter(status=JobStatus.RUNNING, lease_until__lte=now)

    def in_order(self) -> JobQuerySet:
        """Order as the scheduler serves: priority, then the user's turn, then age."""
        return self.order_by("-priority", "turn", "id")

    def with_attempts_made(self) -> JobQuerySet:
        """Annotate `attempts_made`, the number of the last attempt, or 0."""
        last = Attempt.objects.filter(job=models.OuterRef("pk")).order_by("-number").values("number")[:1]
        return self.annotate(attempts_made=Coalesce(models.Subquery(last), 0))

    def advance(self, target: JobStatus, **fields: object) -> None:
        """Move the one job that this query names to `target`, by one conditional UPDATE.

        Raises StaleState where no row matched: the job is in a state that does not lead to `target`, or
        a condition of the query (the lease's token) no longer holds.
        """
        rows, values = self.advancing(target, **fields)
        if not rows.update(**values):
            raise StaleState.of(target)

    def advancing(self, target: JobStatus, **fields: object) -> tuple[JobQuerySet, dict[str, object]]:
        """Return the rows that may become `target`, and their new values."""
        return self.filter(status__in=sources(target)), {"status": target, **fields}


class Job(models.Model):
    """One edit that a user asked and paid for."""

    class Priority(models.IntegerChoices):
        BATCH = 0, _("API batch")
        INTERACTIVE = 10, _("interactive")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    preset = models.ForeignKey(Preset, on_delete=models.PROTECT, null=True, blank=True, related_name="jobs")
    prompt = models.TextField(_("prompt"))
    seed = models.BigIntegerField(_("seed"))
    price = models.PositiveIntegerField(_("price, points"))
    priority = models.SmallIntegerField(_("priority"), choices=Priority.choices, default=Priority.INTERACTIVE)
    turn = models.BigIntegerField(_("turn"), default=0, editable=False)  # see `jobs.fairness`

    status = models.CharField(_("status"), max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    progress = models.PositiveSmallIntegerField(_("progress, %"), default=0)
    waiting_for_gpu = models.BooleanField(_("waiting for the GPU"), default=False)
    failures = models.PositiveSmallIntegerField(_("failed attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("not before"), null=True, blank=True)
    lease_token = models.UUIDField(_("lease"), null=True, editable=False)
    lease_until = models.DateTimeField(_("lease until"), null=True, editable=False)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.CharField(_("error, as users see it"), max_length=300, blank=True)

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    webhook_url = models.URLField(_("webhook"), max_length=500, blank=True)
    idempotency_key = models.CharField(_("idempotency key"), max_length=200, null=True, blank=True)  # noqa: DJ001
    fingerprint = models.CharField(_("digest of the request"), max_length=64, blank=True, editable=False)
    receipt = models.JSONField(_("first answer"), default=dict, editable=False)

    attempts_made: int  # where the scheduler annotated it

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="jobs_job_idempotency"),
            models.CheckConstraint(condition=Q(progress__lte=100), name="jobs_job_progress_percent"),
            models.CheckConstraint(
                condition=~Q(status=JobStatus.RUNNING)
                | Q(lease_token__isnull=False, lease_until__isnull=False),
                name="jobs_job_running_has_lease",
            ),
        ]
        indexes = [
            models.Index(
                fields=["-priority", "turn", "id"],
                name="jobs_job_line",
                condition=Q(status=JobStatus.QUEUED),
            ),
            models.Index(
                fields=["id"],
                name="jobs_job_waiting",
                condition=Q(status=JobStatus.QUEUED, waiting_for_gpu=True),
            ),
            models.Index(
                fields=["lease_until"], name="jobs_job_leases", condition=Q(status=JobStatus.RUNNING)
            ),
            models.Index(fields=["user", "-id"], name="jobs_job_user"),
            models.Index(fields=["user"], name="jobs_job_unfinished", condition=Q(status__in=sorted(ACTIVE))),
            models.Index(fields=["finished_at"], name="jobs_job_finished"),
        ]

    def __str__(self) -> str:
        return f"Job {self.pk}"


class ServedTurn(models.Model):
    """The last turn of a user in a class of the queue that was served. See `jobs.fairness`."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="served_turns", db_index=False
    )
    priority = models.SmallIntegerField(_("priority"), choices=Job.Priority.choices)
    turn = models.BigIntegerField(_("turn"))
    at = models.DateTimeField(_("served"))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "priority"], name="jobs_servedturn_user")]
        indexes = [models.Index(fields=["priority", "-turn"], name="jobs_servedturn_latest")]

    def __str__(self) -> str:
        return f"turn {self.turn} of user {self.user_id}"


class Attempt(models.Model):
    """One try at a job on one node. Its id is the ComfyUI `prompt_id`, committed before the node hears it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField(_("number"))
    status = models.CharField(
        _("status"), max_length=10, choices=AttemptStatus.choices, default=AttemptStatus.ACTIVE
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    submitted_at = models.DateTimeField(_("accepted by the node"), null=True, blank=True)
    executing_at = models.DateTimeField(_("execution began"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    # `db_default`: a worker of an earlier release goes on inserting without it.
    adoptions = models.PositiveSmallIntegerField(_("adoptions"), default=0, db_default=0)
    # ComfyUI's, where the prompt is heard of by a WebSocket that was open before: see `listens_as`.
    client_id = models.UUIDField(_("client id"), null=True, editable=False)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_detail = models.TextField(_("error, for the operator"), blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="jobs_attempt_number")]
        indexes = [
            models.Index(
                fields=["node"], name="jobs_attempt_active", condition=Q(status=AttemptStatus.ACTIVE)
            ),
            models.Index(fields=["-finished_at"], name="jobs_attempt_finished"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of job {self.job_id}"

    @property
    def listens_as(self) -> uuid.UUID:
        """The client id by which the node tells of the prompt, to whoever made the attempt or adopted it."""
        return self.client_id or self.pk


class JobImage(models.Model):
    """A picture of a job: what the user sent, or what the model made of it."""

    class Role(models.TextChoices):
        INPUT = "input", _("sent")
        RESULT = "result", _("result")

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="images")
    role = models.CharField(_("role"), max_length=6, choices=Role.choices)
    position = models.PositiveSmallIntegerField(_("position"), default=1)
    file = models.FileField(_("file"), max_length=200)
    width = models.PositiveIntegerField(_("width, px"))
    height = models.PositiveIntegerField(_("height, px"))
    bytes = models.PositiveIntegerField(_("size, bytes"))
    sha256 = models.CharField("SHA-256", max_length=64)

    class Meta:
        ordering = ["role", "position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "role", "position"], name="jobs_jobimage_position")
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position} of job {self.job_id}"
