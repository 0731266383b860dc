"""Edits in the admin: read with everything that happened to them, and cancelled, but never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from jobs import services
from jobs.admin.attempts import AttemptInline, between
from jobs.admin.filters import ErrorCodeFilter, NodeFilter
from jobs.admin.pictures import picture_response
from jobs.models import Attempt, Job, JobImage, JobQuerySet
from jobs.states import ACTIVE, JobStatus
from payments.models import LedgerEntry
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    Tone,
    action,
    ago,
    badge,
    clipped,
    display,
    exactly,
    matching_number,
)

JOB_TONES = {
    JobStatus.QUEUED: Tone.WARNING,
    JobStatus.RUNNING: Tone.BUSY,
    JobStatus.SUCCEEDED: Tone.GOOD,
    JobStatus.FAILED: Tone.BAD,
    JobStatus.CANCELLED: Tone.PLAIN,
}


@admin.register(Job)
class JobAdmin(ReadOnlyMixin, ModelAdmin):
    """Edits. Their states belong to the services; staff may cancel."""

    list_display = [
        "id",
        "user",
        "state",
        "wish",
        "cost",
        "attempts_made",
        "created",
        "duration",
        "error_code",
    ]
    list_filter = ["status", ErrorCodeFilter, NodeFilter, "created_at"]
    list_select_related = ["user", "preset"]
    sortable_by = ["id"]
    search_fields = ["id", "user__username", "prompt"]
    search_help_text = _("Number of the edit, user name, user id, Telegram id, or words of the prompt")
    actions = ["cancel"]
    actions_detail = ["cancel_this"]
    inlines = [AttemptInline]
    fieldsets = [
        (None, {"fields": ["state", "user", "preset", "prompt", "pictures", "points", "shown_error"]}),
        (
            _("Times"),
            {"fields": ["submitted", "started", "finished", "duration"]},
        ),
        (
            _("Run"),
            {
                "fields": [
                    "seed",
                    "priority",
                    "progress",
                    "failures",
                    "next_attempt_at",
                    "lease_until",
                ]
            },
        ),
        (_("Request"), {"fields": ["request_id", "idempotency_key", "webhook_url"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> JobQuerySet:
        """Count the attempts of each edit; of the rows of one page only, for it is a subquery."""
        attempts = Attempt.objects.filter(job=OuterRef("pk")).order_by().values("job")
        count = Coalesce(Subquery(attempts.annotate(count=Count("pk")).values("count")), 0)
        jobs: JobQuerySet = super().get_queryset(request).annotate(attempts_count=count)
        return jobs

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """Find edits by number, user or words of the prompt."""
        term = search_term.strip()
        if not term:
            return queryset, False
        words = Q(user__username__icontains=term) | Q(prompt__icontains=term)
        return queryset.filter(words | matching_number(term, "id", "user_id", "user__telegram_id")), False

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of pictures."""
        view = self.admin_site.admin_view(self.picture_view)
        return [
            path("<int:job_id>/picture/<int:picture_id>/<str:size>/", view, name="jobs_job_picture"),
            *super().get_urls(),
        ]

    def picture_view(self, request: HttpRequest, job_id: int, picture_id: int, size: str) -> HttpResponse:
        """Answer with a picture of an edit, `full` or `small`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        image = get_object_or_404(JobImage, pk=picture_id, job_id=job_id)
        return picture_response(image.file, small=size != "full")

    def has_cancel_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Let those cancel who may change edits; offer it only where there is something to cancel."""
        if not request.user.has_perm("jobs.change_job"):
            return False
        if object_id is None or not str(object_id).isdecimal():
            return True
        return Job.objects.unfinished().filter(pk=int(object_id)).exists()

    @display(description=_("status"))
    def state(self, job: Job) -> SafeString:
        """Status as a badge, with what a running or waiting edit is at."""
        status = JobStatus(job.status)
        text: Any = status.label
        if status == JobStatus.RUNNING:
            text = f"{text} {job.progress} %"
        elif status == JobStatus.QUEUED and job.waiting_for_gpu:
            text = _("waits for a GPU")
        return badge(text, JOB_TONES[status])

    @display(description=_("wish"))
    def wish(self, job: Job) -> Any:
        """The preset's title, or the beginning of the user's own words."""
        return f"{job.preset.icon} {job.preset}".strip() if job.preset else clipped(job.prompt)

    @display(description=_("price"))
    def cost(self, job: Job) -> int:
        """Points it was submitted for."""
        return job.price

    @display(description=_("attempts"))
    def attempts_made(self, job: Job) -> int:
        """Attempts, those lost with their worker included."""
        count: int = job.attempts_count  # type: ignore[attr-defined]
        return count

    @display(description=_("created"), ordering="id")
    def created(self, job: Job) -> SafeString | None:
        """Age of the edit."""
        return ago(job.created_at)

    @display(description=_("created"))
    def submitted(self, job: Job) -> SafeString | None:
        """When the edit was submitted, to the second."""
        return exactly(job.created_at)

    @display(description=_("started"))
    def started(self, job: Job) -> SafeString | None:
        """When the first attempt began, to the second."""
        return exactly(job.started_at)

    @display(description=_("finished"))
    def finished(self, job: Job) -> SafeString | None:
        """When the edit ended, to the second."""
        return exactly(job.finished_at)

    @display(description=_("duration"))
    def duration(self, job: Job) -> SafeString | None:
        """From submission to the end, or until now."""
        return between(job.created_at, job.finished_at or timezone.now())

    @display(description=_("error"))
    def shown_error(self, job: Job) -> SafeString | None:
        """Code, and what the user was told."""
        return format_html("<b>{}</b> {}", job.error_code, job.error_message) if job.error_code else None

    @display(description=_("pictures"))
    def pictures(self, job: Job) -> SafeString | None:
        """What was sent and what came out."""
        figures = format_html_join(
            "",
            '<figure><a href="{}" target="_blank"><img loading="lazy" alt="{}" src="{}"></a>'
            "<figcaption>{} · {}×{} · {}</figcaption></figure>",
            (
                (
                    picture_url(image, "full"),
                    image.get_role_display(),
                    picture_url(image, "small"),
                    image.get_role_display(),
                    image.width,
                    image.height,
                    filesizeformat(image.bytes),
                )
                for image in job.images.all()
            ),
        )
        return format_html('<span class="qe-pictures">{}</span>', figures) if figures else None

    @display(description=_("points"))
    def points(self, job: Job) -> SafeString | None:
        """What the ledger says of the edit."""
        causes = [f"job:{job.pk}:charge", f"job:{job.pk}:refund"]
        rows = format_html_join(
            "",
            '<tr><td>{}</td><td>{}</td><td>{}</td><td><a class="qe-link" href="{}">{}</a></td></tr>',
            (
                (
                    f"{entry.amount:+d}".replace("-", "−"),
                    entry.get_kind_display(),
                    ago(entry.created_at),
                    reverse("admin:payments_ledgerentry_change", args=[entry.pk]),
                    entry.key,
                )
                for entry in LedgerEntry.objects.filter(key__in=causes).order_by("id")
            ),
        )
        return format_html('<table class="qe-table">{}</table>', rows) if rows else None

    @action(description=_("Cancel and refund"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Cancel edits and give their points back, after asking for the reason."""
        unfinished = queryset.filter(status__in=ACTIVE)
        reason = self.ask_reason(
            request,
            unfinished,
            action_name="cancel",
            question=_("Cancel these jobs and give their points back?"),
            button=_("Cancel and refund"),
        )
        if not isinstance(reason, str):
            return reason
        ended = [services.cancel_job(job=job) for job in unfinished]
        cancelled = [job for job in ended if job.status == JobStatus.CANCELLED]
        self.record(request, cancelled, f"Cancelled and refunded: {reason}")
        count = len(cancelled)
        self.tell(
            request,
            ngettext("%(count)d job cancelled.", "%(count)d jobs cancelled.", count) % {"count": count},
            ok=count > 0,
        )
        return None

    @action(description=_("Cancel and refund"), permissions=["cancel"], url_path="cancel", icon="cancel")
    def cancel_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Cancel one edit, from its page."""
        page = self.cancel(request, self.only(request, object_id))
        return page or HttpResponseRedirect(reverse("admin:jobs_job_change", args=[object_id]))


def picture_url(image: JobImage, size: str) -> str:
    """Return where staff see a picture, `full` or `small`."""
    return reverse("admin:jobs_job_picture", args=[image.job_id, image.pk, size])
