"""What was tried for an edit, as a part of its page in the admin."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from jobs.models import Attempt, Job
from jobs.states import AttemptStatus
from qwenedit.admin import (
    ReadOnlyMixin,
    TabularInline,
    Tone,
    badge,
    display,
    exactly,
    unbroken,
)

ATTEMPT_TONES = {
    AttemptStatus.ACTIVE: Tone.BUSY,
    AttemptStatus.SUCCEEDED: Tone.GOOD,
    AttemptStatus.FAILED: Tone.BAD,
    AttemptStatus.CANCELLED: Tone.PLAIN,
    AttemptStatus.LOST: Tone.WARNING,
}


def spoken(duration: timedelta) -> str:
    """Return a duration as people say it: 4.2 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    seconds = max(0.0, duration.total_seconds())
    if seconds < 60:
        return _("%(seconds).1f s") % {"seconds": seconds}
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
    return _("%(days)d d %(hours)d h") % {"days": hours // 24, "hours": hours % 24}


def between(start: datetime, end: datetime | None) -> SafeString | None:
    """Return the time between two moments, None where the second has not come."""
    return unbroken(spoken(end - start)) if end else None


class AttemptInline(ReadOnlyMixin, TabularInline):
    """What was tried on which node, with the reason for the operator."""

    model = Attempt
    extra = 0
    fields = readonly_fields = (
        "number",
        "node",
        "state",
        "began",
        "accepted",
        "executing",
        "took",
        "error",
    )

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Show attempts to whoever may see the edit."""
        return request.user.has_perm("jobs.view_job") or request.user.has_perm("jobs.change_job")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        """Fetch the nodes along."""
        return super().get_queryset(request).select_related("node")

    @display(description=_("status"))
    def state(self, attempt: Attempt) -> SafeString:
        """Status as a badge."""
        status = AttemptStatus(attempt.status)
        return badge(status.label, ATTEMPT_TONES[status])

    @display(description=_("began, prompt_id"))
    def began(self, attempt: Attempt) -> SafeString:
        """When the attempt was made, and the `prompt_id` by which the node knows it."""
        code = format_html('<span class="qe-code qe-nowrap">{}</span>', attempt.pk)
        return format_html("{}<br>{}", exactly(attempt.created_at), code)

    @display(description=_("accepted after"))
    def accepted(self, attempt: Attempt) -> SafeString | None:
        """Time until the node had the prompt."""
        return between(attempt.created_at, attempt.submitted_at)

    @display(description=_("executing after"))
    def executing(self, attempt: Attempt) -> SafeString | None:
        """Time until the node began to execute."""
        return between(attempt.created_at, attempt.executing_at)

    @display(description=_("ended after"))
    def took(self, attempt: Attempt) -> SafeString | None:
        """Time until the attempt ended."""
        return between(attempt.created_at, attempt.finished_at)

    @display(description=_("error"))
    def error(self, attempt: Attempt) -> SafeString | None:
        """Code, and what the operator should know."""
        if not attempt.error_code:
            return None
        return format_html(
            '<b>{}</b><span class="qe-wrap">{}</span>', attempt.error_code, attempt.error_detail
        )
