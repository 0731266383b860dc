"""The admin's menu, and what its first page says of the system. The theme calls both: see UNFOLD."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from jobs import reports
from jobs.admin.attempts import spoken
from jobs.admin.node_panels import health_badge
from jobs.states import JobStatus
from payments import reports as money_reports

MENU = [
    (_("Edits"), [("jobs.Job", "photo_library"), ("jobs.Node", "memory")]),
    (_("Catalogue"), [("jobs.Preset", "style"), ("jobs.Category", "category")]),
    (_("People"), [("users.User", "person"), ("users.ApiKey", "key"), ("auth.Group", "group")]),
    (
        _("Money"),
        [
            ("payments.Payment", "payments"),
            ("payments.Refund", "undo"),
            ("payments.Discrepancy", "report"),
            ("payments.Notification", "inbox"),
            ("payments.Package", "sell"),
        ],
    ),
    (
        _("Telegram"),
        [
            ("botapp.Chat", "chat"),
            ("botapp.Order", "shopping_bag"),
            ("botapp.Delivery", "outbox"),
            ("botapp.Broadcast", "campaign"),
            ("botapp.IncomingUpdate", "move_to_inbox"),
            ("botapp.Article", "menu_book"),
        ],
    ),
    (_("Webhooks"), [("webhooks.Endpoint", "webhook"), ("webhooks.Delivery", "outgoing_mail")]),
    (_("Points"), [("payments.LedgerEntry", "receipt_long"), ("payments.PromoCode", "confirmation_number")]),
]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu: groups of links to the lists that this member of staff may see."""
    groups = []
    for title, entries in MENU:
        items = [
            {
                "title": str(capfirst(model._meta.verbose_name_plural)),
                "icon": icon,
                "link": reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"),
            }
            for model, icon in ((apps.get_model(label), icon) for label, icon in entries)
            if admin.site.get_model_admin(model).has_view_or_change_permission(request)
        ]
        if items:
            groups.append({"title": str(title), "separator": True, "items": items})
    return groups


def add_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the state of the queue, of money and of the nodes to the first page, as far as one may see them."""
    if request.user.has_perm("jobs.view_job"):
        jobs = reverse("admin:jobs_job_changelist")
        context["statuses"] = [
            {"label": JobStatus(status).label, "count": count, "url": f"{jobs}?status__exact={status}"}
            for status, count in reports.jobs_by_status().items()
        ]
        context["longest_wait"] = spoken(reports.oldest_due_age(timezone.now()))
    if request.user.has_perm("payments.view_discrepancy"):
        context["discrepancies"] = {
            "count": sum(money_reports.open_discrepancies().values()),
            "url": reverse("admin:payments_discrepancy_changelist", query={"resolved_at__isempty": 1}),
        }
    if request.user.has_perm("jobs.view_node"):
        context["nodes"] = [
            {
                "name": node.name,
                "url": reverse("admin:jobs_node_change", args=[node.pk]),
                "health": health_badge(node),
                "in_flight": node.in_flight,
                "problem": node.problem,
            }
            for node in reports.nodes().order_by("id")
        ]
    return context
