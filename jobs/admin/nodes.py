"""The fleet of ComfyUI nodes in the admin."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.actions import delete_selected
from django.db import transaction
from django.db.models import ProtectedError, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from jobs import node_events, nodes
from jobs.admin import node_chart, node_panels
from jobs.admin.node_form import ADDRESS, NodeForm, SwitchesForm
from jobs.admin.node_panels import health_badge, pause_in_words
from jobs.capacity import wanted_threads
from jobs.models import Node, NodeQuerySet
from qwenedit.admin import ModelAdmin, Tone, action, ago, badge, clipped, display, unbroken

FEW_THREADS = _(
    "The enabled nodes may hold more attempts than one worker with WORKER_THREADS=%(threads)d follows: "
    "set it to %(needed)d or more, or start more workers."
)
JUST_USED = _("Nothing was deleted: a node has just been given work. Disable it instead.")


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
    actions = ["check_now", "enable", "disable", "drain", "end_draining", "delete_selected"]
    actions_detail = ["check_this"]
    said = ["health", "answered", "checked_at", "problem", "stalled_since", "load", "queue_length"]
    told = ["version", "device", "memory"]
    became = ["last_hour", "load_over_time"]
    readonly_fields = ["shown_url", "origin", "created_at", "history", *said, *told, *became]

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
            (_("Work"), {"fields": self.became}),
            (_("History"), {"fields": ["history"]}),
        ]

    def get_form(self, request: HttpRequest, obj: Node | None = None, *args: Any, **kwargs: Any) -> Any:
        """Take the address from a form only where it may be changed."""
        form = NodeForm if obj is None or self._may_change_address(request, obj) else SwitchesForm
        return super().get_form(request, obj, *args, **{"form": form, **kwargs})

    def _may_change_address(self, request: HttpRequest, node: Node) -> bool:
        """Leave the addresses of COMFYUI_URL to COMFYUI_URL."""
        return self.has_change_permission(request, node) and not node.from_environment

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: Any) -> None:
        """Write what was changed and nothing else, and what was switched to the node's history too."""
        if not change:
            super().save_model(request, obj, form, change)
        else:
            # The rest of the row may be older than what a probe or the breaker has written meanwhile.
            obj.save(update_fields=form.written)
            switched = {"is_enabled", "is_draining"} & {*form.changed_data}
            node_events.record_settings(obj, **{name: getattr(obj, name) for name in switched})
        if obj.is_enabled:
            self._warn_of_threads(request)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse to delete what is still needed, and say what to do instead; list no samples or attempts.

        Django's own way reads every attempt of a node in order to name it.
        """
        rows = list(objs)
        kept = [reason for node in rows if (reason := node_panels.why_kept(node))]
        lacking = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        return [str(node) for node in rows], {self.opts.verbose_name_plural: len(rows)}, lacking, kept

    def delete_model(self, request: HttpRequest, obj: Node) -> None:
        """Let no claim give the node work meanwhile."""
        nodes.lock_all()
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Let no claim give the nodes work meanwhile."""
        nodes.lock_all()
        super().delete_queryset(request, queryset)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Delete a node, unless it was given work between the question and the answer."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except ProtectedError:
            self.tell(request, JUST_USED, ok=False)
            return HttpResponseRedirect(reverse("admin:jobs_node_change", args=[object_id]))

    @action(description=_("Delete"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Delete nodes, unless one was given work between the question and the answer."""
        try:
            with transaction.atomic():
                return delete_selected(self, request, queryset)
        except ProtectedError:
            self.tell(request, JUST_USED, ok=False)
            return None

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
        return node_panels.history(node)

    @display(description=_("attempts of the last hour"))
    def last_hour(self, node: Node) -> str:
        """How many ended well, how many did not, and how long they took."""
        return node_panels.last_hour(node)

    @display(description=_("load"))
    def load_over_time(self, node: Node) -> SafeString | None:
        """Memory and queue of the last hours."""
        return node_chart.load_over_time(node, now=timezone.now())

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
        self._warn_of_threads(request)

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

    def _warn_of_threads(self, request: HttpRequest) -> None:
        needed = wanted_threads()
        if needed is not None:
            facts = {"threads": settings.WORKER_THREADS, "needed": needed}
            self.tell(request, FEW_THREADS % facts, ok=False)

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
