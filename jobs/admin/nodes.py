"""The fleet of ComfyUI nodes in the admin.

A node's address may hold a user and a password. They are written here and never shown again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from jobs import breaker, node_events, nodes
from jobs.comfy.address import Address
from jobs.models import Node, NodeEvent, NodeQuerySet
from qwenedit.admin import (
    ModelAdmin,
    PasswordInput,
    TextInput,
    Tone,
    action,
    ago,
    badge,
    clipped,
    display,
    exactly,
    unbroken,
)

LONGEST_URL = 500
ADDRESS = ["address", "user", "password"]
EVENTS_SHOWN = 50


def health_badge(node: Node) -> SafeString:
    """Return what the node last said of itself, as a badge."""
    if not node.is_enabled:
        return badge(_("disabled"))
    if node.is_healthy is None:
        return badge(_("not asked yet"), Tone.WARNING)
    if node.is_healthy and node.tripped_until is not None:
        paused = breaker.is_paused(node, timezone.now())
        return badge(_("paused") if paused else _("on trial"), Tone.WARNING)
    if node.is_healthy:
        return badge(_("answers"), Tone.GOOD)
    return badge(_("executes nothing") if node.stalled_since else _("silent"), Tone.BAD)


def pause_in_words(node: Node) -> str:
    """Return what the circuit breaker does with the node; empty where it does nothing."""
    if node.tripped_until is None:
        return ""
    facts = {"until": f"{node.tripped_until:%H:%M:%S} UTC", "failures": node.failures_in_row}
    if breaker.is_paused(node, timezone.now()):
        return _("paused until %(until)s after %(failures)d failures") % facts
    return _("one edit at a time as a trial, after %(failures)d failures") % facts


class NodeForm(forms.ModelForm):
    """A node, its address taken apart so that the password goes one way only."""

    address = forms.CharField(
        label=_("Address"), max_length=300, widget=TextInput, help_text=_("For instance http://gpu-1:8188")
    )
    user = forms.CharField(
        label=_("User"),
        max_length=60,
        required=False,
        widget=TextInput(attrs={"autocomplete": "off"}),
        help_text=_("Where the node asks for one (HTTP basic authentication)."),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=100,
        required=False,
        strip=False,
        widget=PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = Node
        fields = ["name", "is_enabled", "is_draining"]

    def __init__(self, data: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(_credentials_apart(data), *args, **kwargs)
        stored = urlsplit(self.instance.url)
        self.stored_password = unquote(stored.password or "")
        if self.instance.pk is not None:
            self.fields["address"].initial = self.instance.shown_url
            self.fields["user"].initial = unquote(stored.username or "")
            if self.stored_password:
                self.fields["password"].widget.attrs["placeholder"] = "•••"
                self.fields["password"].help_text = _("Leave empty to keep the one that is stored.")

    def clean_address(self) -> str:
        """Refuse what is no address of a server."""
        try:
            return Address.parse(self.cleaned_data["address"]).url
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        """Put the address together again, keeping a stored password where it belongs."""
        cleaned: dict[str, Any] = super().clean() or {}
        if "address" not in cleaned:
            return cleaned
        address, user, password = cleaned["address"], cleaned.get("user", ""), cleaned.get("password", "")
        if password and not user:
            self.add_error("user", _("A password needs a user."))
            return cleaned
        if user and not password and self.stored_password:
            # Sent to another address, a stored password would be told to whoever listens there.
            if address.lower() != self.instance.shown_url.rstrip("/").lower():
                self.add_error("password", _("The address is new: enter the password again."))
                return cleaned
            password = self.stored_password
        credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        parts = urlsplit(address)
        url = parts._replace(netloc=f"{credentials}@{parts.netloc}" if user else parts.netloc).geturl()
        if len(url) > LONGEST_URL:
            self.add_error("address", _("The address is too long."))
        elif Node.objects.filter(url=url).exclude(pk=self.instance.pk).exists():
            self.add_error("address", _("There is a node with this address."))
        elif url != self.instance.url:
            self.instance.url = url
            self.instance.is_healthy = self.instance.stalled_since = None
            self.instance.problem = ""
            self.instance.failures_in_row = 0
            self.instance.tripped_at = self.instance.tripped_until = None
        return cleaned


def _credentials_apart(data: Any) -> Any:
    """Move credentials pasted with the address into their own fields: a page repeats the address."""
    address = (data or {}).get("address", "")
    if "@" not in address:
        return data
    data = data.copy()
    data["address"] = ""
    with suppress(ValueError):
        parts = urlsplit(address)
        pasted, _at, host = parts.netloc.rpartition("@")
        user, _colon, password = pasted.partition(":")
        if host and "@" not in parts.path:
            data["address"] = parts._replace(netloc=host, query="", fragment="").geturl()
            data["user"], data["password"] = unquote(user), unquote(password)
    return data


def _event_cells(event: NodeEvent) -> tuple[Any, ...]:
    memory = "" if event.vram_free is None else _("%s VRAM free") % filesizeformat(event.vram_free)
    queue = "" if event.queue_length is None else _("%s in its queue") % event.queue_length
    return exactly(event.at), event.get_kind_display(), event.detail, memory, queue


@admin.register(Node)
class NodeAdmin(ModelAdmin):
    """ComfyUI servers: what they said of themselves, and whether they are given work."""

    list_display = [
        "name",
        "shown_url",
        "health",
        "answered",
        "load",
        "queue",
        "server",
    ]
    list_filter = ["is_enabled", "is_draining", "is_healthy", "from_environment"]
    sortable_by = ["name"]
    search_fields = ["name", "device", "problem"]
    actions = ["check_now", "enable", "disable", "drain", "end_draining"]
    actions_detail = ["check_this"]
    said = ["health", "answered", "checked_at", "problem", "stalled_since", "load", "queue_length"]
    told = ["version", "device", "memory"]
    readonly_fields = ["shown_url", "origin", "created_at", "history", *said, *told]

    def get_queryset(self, request: HttpRequest) -> NodeQuerySet:
        """Count what is on each node now."""
        return super().get_queryset(request).with_load()  # type: ignore[attr-defined, no-any-return]

    def get_fieldsets(self, request: HttpRequest, obj: Node | None = None) -> Any:
        """Take the address apart for those who may change it; show it without credentials to others."""
        if obj is None:
            return [(None, {"fields": ["name", *ADDRESS, "is_enabled", "is_draining"]})]
        address = ADDRESS if self._may_change_address(request, obj) else ["shown_url"]
        return [
            (None, {"fields": ["name", *address, "is_enabled", "is_draining"]}),
            (_("Health"), {"fields": self.said}),
            (_("Server"), {"fields": [*self.told, "origin", "created_at"]}),
            (_("History"), {"fields": ["history"]}),
        ]

    def get_form(self, request: HttpRequest, obj: Node | None = None, *args: Any, **kwargs: Any) -> Any:
        """Take the address from a form only where it may be changed."""
        form = NodeForm if obj is None or self._may_change_address(request, obj) else forms.ModelForm
        return super().get_form(request, obj, *args, **{"form": form, **kwargs})

    def _may_change_address(self, request: HttpRequest, node: Node) -> bool:
        """Leave the addresses of COMFYUI_URL to COMFYUI_URL."""
        return self.has_change_permission(request, node) and not node.from_environment

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: Any) -> None:
        """Write what was switched to the node's history too."""
        super().save_model(request, obj, form, change)
        if change:
            switched = {"is_enabled", "is_draining"} & {*form.changed_data}
            node_events.record_settings(obj, **{name: getattr(obj, name) for name in switched})

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse nodes that attempts refer to, and those that COMFYUI_URL would bring back."""
        if isinstance(obj, Node) and (obj.from_environment or obj.attempts.exists()):
            return False
        return super().has_delete_permission(request, obj)

    @display(description=_("address"))
    def shown_url(self, node: Node) -> SafeString:
        """Address without credentials."""
        return unbroken(node.shown_url)

    @display(description=_("health"))
    def health(self, node: Node) -> SafeString:
        """What the node last said, and what is wrong with it."""
        draining = badge(_("draining"), Tone.WARNING) if node.is_draining else ""
        words = clipped(node.problem or pause_in_words(node)) or ""
        return format_html("{} {} {}", health_badge(node), draining, words)

    @display(description=_("last changes"))
    def history(self, node: Node) -> SafeString | None:
        """What became of the node, the newest first."""
        rows = [_event_cells(event) for event in node.events.all()[:EVENTS_SHOWN]]
        cells = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"
        return format_html("<table>{}</table>", format_html_join("", cells, rows)) if rows else None

    @display(description=_("in flight"))
    def load(self, node: Node) -> str:
        """Attempts on the node, of those it may hold."""
        return f"{node.in_flight} / {settings.COMFYUI_NODE_DEPTH}"

    @display(description=_("in its queue"))
    def queue(self, node: Node) -> int | None:
        """Prompts that the node holds, ours and others'."""
        return node.queue_length

    @display(description=_("VRAM free"))
    def memory(self, node: Node) -> SafeString | None:
        """Free memory of the GPU, of all it has."""
        if node.vram_total is None or node.vram_free is None:
            return None
        text = _("%(free)s of %(total)s") % {
            "free": filesizeformat(node.vram_free),
            "total": filesizeformat(node.vram_total),
        }
        return unbroken(text)

    @display(description=_("server"))
    def server(self, node: Node) -> SafeString | None:
        """Version, device and memory."""
        device = clipped(" · ".join(filter(None, [node.version, node.device])))
        memory = self.memory(node)
        if memory is None:
            return device
        return format_html("{}<br>{} {}", device or "", _("VRAM free:"), memory)

    @display(description=_("origin"))
    def origin(self, node: Node) -> Any:
        """Where the row came from."""
        return "COMFYUI_URL" if node.from_environment else _("added here")

    @display(description=_("last answered"), ordering="healthy_at")
    def answered(self, node: Node) -> SafeString | None:
        """How long ago the node answered."""
        return ago(node.healthy_at)

    @action(description=_("Check now"), permissions=["change"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Ask the nodes how they are."""
        for node in queryset:
            ok = nodes.probe(node, look_at_queue=True)
            node.refresh_from_db()
            said = node.version if ok else node.problem
            text = _("%(node)s answers: %(said)s") if ok else _("%(node)s: %(said)s")
            self.tell(request, text % {"node": node.name, "said": said}, ok=ok)

    @action(description=_("Check now"), permissions=["change"], url_path="check", icon="monitor_heart")
    def check_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask one node, from its page."""
        self.check_now(request, self.only(request, object_id))
        return HttpResponseRedirect(reverse("admin:jobs_node_change", args=[object_id]))

    @action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: NodeQuerySet) -> None:
        """Give work to nodes again."""
        self._set(request, queryset, "Enabled", is_enabled=True)

    @action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: NodeQuerySet) -> None:
        """Give nodes nothing new; what they have goes on."""
        self._set(request, queryset, "Disabled", is_enabled=False)

    @action(description=_("Drain: finish, take nothing new"), permissions=["change"])
    def drain(self, request: HttpRequest, queryset: NodeQuerySet) -> None:
        """Let nodes finish what they have."""
        self._set(request, queryset, "Draining", is_draining=True)

    @action(description=_("End draining"), permissions=["change"])
    def end_draining(self, request: HttpRequest, queryset: NodeQuerySet) -> None:
        """Give work to drained nodes again."""
        self._set(request, queryset, "Draining ended", is_draining=False)

    def _set(self, request: HttpRequest, queryset: QuerySet[Node], note: str, **fields: bool) -> None:
        rows = list(queryset)
        with transaction.atomic():
            nodes.lock_all()
            count = Node.objects.filter(pk__in=[node.pk for node in rows]).update(**fields)
            for node in rows:
                changed = {name: value for name, value in fields.items() if getattr(node, name) != value}
                node_events.record_settings(node, **changed)
        self.record(request, rows, note)
        self.tell(
            request,
            ngettext("%(count)d node changed.", "%(count)d nodes changed.", count) % {"count": count},
        )
