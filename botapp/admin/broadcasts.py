"""Broadcasts in the admin: written as drafts, tried on oneself, started once, watched, stopped."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from telegram.error import TelegramError

from botapp.admin.broadcast_forms import BroadcastForm, StartForm, TestForm
from botapp.models import Broadcast, BroadcastStatus
from botapp.outbox import NotYet, broadcasts
from botapp.outbox.broadcast_message import send_test
from qwenedit.admin import ModelAdmin, OnceForm, Tone, action, ago, badge, display, exactly
from qwenedit.errors import DomainError

PERMISSION = "botapp.send_broadcast"
REFRESH_SECONDS = "10"
BROADCAST_TONES = {
    BroadcastStatus.DRAFT: Tone.PLAIN,
    BroadcastStatus.SENDING: Tone.BUSY,
    BroadcastStatus.STOPPED: Tone.WARNING,
    BroadcastStatus.FINISHED: Tone.GOOD,
}


@admin.register(Broadcast)
class BroadcastAdmin(ModelAdmin):
    """Messages to many. What was started can be stopped, and no longer changed."""

    form = BroadcastForm
    list_display = ["id", "title", "segment", "state", "reached", "created_by", "created"]
    list_display_links = ["id", "title"]
    list_filter = ["status", "segment", "created_at"]
    list_select_related = ["created_by"]
    sortable_by = ["id"]
    search_fields = ["title", "text_ru", "text_en"]
    actions = ["test", "start", "stop"]
    actions_detail = ["test_this", "start_this", "stop_this"]
    readonly_fields = ["state", "bar", "started", "finished", "failure", "created_by"]
    fieldsets = [
        (None, {"fields": ["title", "segment", "state", "bar", "failure"]}),
        (_("Message"), {"fields": ["text_ru", "text_en", "picture"]}),
        (_("Button"), {"fields": ["button_text_ru", "button_text_en", "button_url"]}),
        (_("Times"), {"fields": ["started", "finished", "created_by"]}),
    ]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let nobody change what was sent."""
        return super().has_change_permission(request, obj) and _is(obj, BroadcastStatus.DRAFT)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let drafts be thrown away."""
        return super().has_delete_permission(request, obj) and _is(obj, BroadcastStatus.DRAFT)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Leave out the deletion of many: it asks no broadcast whether it was sent."""
        return {name: row for name, row in super().get_actions(request).items() if name != "delete_selected"}

    def save_model(self, request: HttpRequest, obj: Broadcast, form: ModelForm, change: bool) -> None:  # noqa: FBT001
        """Save what was typed and nothing else: somebody may have started it meanwhile."""
        if not change:
            obj.created_by_id = request.user.pk
            obj.save()
            return
        changed = list(form.changed_data)
        if "picture" in changed:
            obj.picture_file_id = ""
            changed.append("picture_file_id")
        if changed:
            obj.save(update_fields=changed)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Let the page of a broadcast that is being sent show its progress."""
        page: HttpResponse = super().changeform_view(request, *args, **kwargs)
        original = (getattr(page, "context_data", None) or {}).get("original")
        if original is not None and _is(original, BroadcastStatus.SENDING):
            page.headers["Refresh"] = REFRESH_SECONDS
        return page

    def has_send_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Let those send who may; offer it where it was not sent."""
        return self._may(request) and _is_now(object_id, BroadcastStatus.DRAFT)

    def has_stop_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Let those stop who may send; offer it where there is something to stop."""
        return self._may(request) and _is_now(object_id, BroadcastStatus.SENDING)

    @display(description=_("status"))
    def state(self, broadcast: Broadcast) -> SafeString:
        """Status as a badge."""
        status = BroadcastStatus(broadcast.status)
        return badge(status.label, BROADCAST_TONES[status])

    @display(description=_("sent"))
    def reached(self, broadcast: Broadcast) -> str | None:
        """To how many it was sent, of how many."""
        return f"{broadcast.sent} / {broadcast.total}" if broadcast.started_at else None

    @display(description=_("progress"))
    def bar(self, broadcast: Broadcast) -> SafeString | None:
        """How far it is, as a bar and in numbers."""
        if not broadcast.started_at:
            return None
        ended = broadcast.sent + broadcast.failed + broadcast.cancelled
        return format_html(
            '<progress class="qe-progress" value="{}" max="{}"></progress> {}',
            ended,
            max(1, broadcast.total),
            _("%(sent)d sent, %(failed)d failed, %(cancelled)d cancelled, of %(total)d")
            % {
                "sent": broadcast.sent,
                "failed": broadcast.failed,
                "cancelled": broadcast.cancelled,
                "total": broadcast.total,
            },
        )

    @display(description=_("created"), ordering="id")
    def created(self, broadcast: Broadcast) -> SafeString | None:
        """How long ago it was written."""
        return ago(broadcast.created_at)

    @display(description=_("started"))
    def started(self, broadcast: Broadcast) -> SafeString | None:
        """When it was started, to the second."""
        return exactly(broadcast.started_at)

    @display(description=_("finished"))
    def finished(self, broadcast: Broadcast) -> SafeString | None:
        """When it ended, to the second."""
        return exactly(broadcast.finished_at)

    @action(description=_("Send to myself"), permissions=["send"])
    def test(self, request: HttpRequest, queryset: QuerySet[Broadcast]) -> HttpResponse | None:
        """Send a broadcast to one chat, in both languages."""
        broadcast = self._one(request, queryset)
        if broadcast is None:
            return None
        own = getattr(request.user, "chat", None)
        form = TestForm(
            request.POST if "apply" in request.POST else None, initial={"chat": own.pk if own else None}
        )
        if form.is_valid():
            if not form.is_first():
                self.tell(request, _("This form was sent before."), ok=False)
                return None
            try:
                send_test(broadcast, form.cleaned_data["chat"])
            except DomainError as error:
                form.add_error(None, error.message)
            except TelegramError as error:
                form.add_error(None, _("Telegram did not take it: %s") % error.message)
            except NotYet:
                form.add_error(None, _("The picture is being uploaded by somebody else; try again."))
            else:
                self.tell(request, _("Sent, in both languages. Look at it in Telegram."))
                return None
        return self._form_page(
            request, broadcast, form, "test", question=_("Send “%s” to yourself?"), button=_("Send")
        )

    @action(description=_("Start"), permissions=["send"])
    def start(self, request: HttpRequest, queryset: QuerySet[Broadcast]) -> HttpResponse | None:
        """Begin to send a broadcast, after asking."""
        broadcast = self._one(request, queryset)
        if broadcast is None:
            return None
        form = StartForm(request.POST if "apply" in request.POST else None)
        if form.is_valid():
            try:
                total = broadcasts.start(broadcast=broadcast, staff_id=request.user.pk)
            except DomainError as error:
                self.tell(request, error.message, ok=False)
            else:
                self.record(request, [broadcast], f"Started, to {total} people")
                self.tell(request, _("Started. It goes to %d people.") % total)
            return None
        people = broadcasts.audience(broadcast, timezone.now()).count()
        facts = [(_("To"), broadcast.get_segment_display()), (_("People"), people)]
        return self._form_page(
            request, broadcast, form, "start", question=_("Send “%s” now?"), button=_("Start"), facts=facts
        )

    @action(description=_("Stop"), permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Broadcast]) -> HttpResponse | None:
        """Stop broadcasts after asking for the reason."""
        sending = queryset.filter(status=BroadcastStatus.SENDING)
        reason = self.ask_reason(
            request, sending, action_name="stop", question=_("Stop these broadcasts?"), button=_("Stop")
        )
        if not isinstance(reason, str):
            return reason
        stopped = [row for row in sending if broadcasts.stop(broadcast_id=row.pk, reason=reason)]
        self.record(request, stopped, f"Stopped: {reason}")
        self.tell(request, _("%d stopped.") % len(stopped), ok=bool(stopped))
        return None

    @action(description=_("Send to myself"), permissions=["send"], url_path="test", icon="send")
    def test_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Try one broadcast, from its page."""
        return self.test(request, self.only(request, object_id)) or _page_of(object_id)

    @action(description=_("Start"), permissions=["send"], url_path="start", icon="campaign")
    def start_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Start one broadcast, from its page."""
        return self.start(request, self.only(request, object_id)) or _page_of(object_id)

    @action(description=_("Stop"), permissions=["stop"], url_path="stop", icon="stop")
    def stop_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Stop one broadcast, from its page."""
        return self.stop(request, self.only(request, object_id)) or _page_of(object_id)

    def _may(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION) and self.has_view_permission(request)

    def _one(self, request: HttpRequest, queryset: QuerySet[Broadcast]) -> Broadcast | None:
        chosen = list(queryset[:2])
        if len(chosen) == 1:
            return chosen[0]
        self.tell(request, _("Broadcasts are sent one at a time: select one."), ok=False)
        return None

    def _form_page(
        self,
        request: HttpRequest,
        broadcast: Broadcast,
        form: OnceForm,
        name: str,
        *,
        question: Any,
        **page: Any,
    ) -> HttpResponse:
        """Return a page with a form that comes back to where it was asked from: a button, or the list."""
        return self.ask(
            request,
            form,
            question=question % broadcast,
            back=_page_of(broadcast.pk).url,
            action_name=name,
            selected=[broadcast.pk],
            checkbox_name=ACTION_CHECKBOX_NAME,
            select_across="0",
            **page,
        )


def _is(broadcast: Model | None, status: BroadcastStatus) -> bool:
    return not isinstance(broadcast, Broadcast) or broadcast.status == status


def _is_now(object_id: Any, status: BroadcastStatus) -> bool:
    """Whether the broadcast that a button is about is in a state; True where it is about none."""
    if object_id is None or not str(object_id).isdecimal():
        return True
    return Broadcast.objects.filter(pk=int(object_id), status=status).exists()


def _page_of(object_id: Any) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:botapp_broadcast_change", args=[object_id]))
