"""What the admin shows of a node's state and of what became of it. Changes nothing."""

from __future__ import annotations

from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from jobs import breaker, reports
from jobs.admin.attempts import spoken
from jobs.models import Node, NodeEvent
from qwenedit.admin import Tone, badge, exactly

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


def history(node: Node) -> SafeString | None:
    """Return the last changes of the node's state, the newest first."""
    rows = [_event_cells(event) for event in node.events.all()[:EVENTS_SHOWN]]
    cells = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"
    lines = format_html_join("", cells, rows)
    return format_html('<table class="qe-table">{}</table>', lines) if rows else None


def last_hour(node: Node) -> str:
    """Return in words how the attempts ended that the node held within the last hour."""
    summary = reports.last_hour_of(node, timezone.now())
    words = _("%(succeeded)d succeeded, %(failed)d failed, %(lost)d lost before they began") % vars(summary)
    if summary.execution is None:
        return words
    return _("%(words)s; half of the edits took at most %(time)s to execute") % {
        "words": words,
        "time": spoken(summary.execution),
    }


def why_kept(node: Node) -> str:
    """Return why the node may not be deleted, and what to do instead; empty where it may."""
    if node.attempts.exists():
        return _(
            "%(node)s: edits were made on it, and their history refers to it. "
            "Drain it, so that it finishes what it has, or disable it."
        ) % {"node": node.name}
    if node.from_environment:
        return _(
            "%(node)s: COMFYUI_URL names it and would bring it back. Take it out there, or disable it."
        ) % {"node": node.name}
    return ""


def _event_cells(event: NodeEvent) -> tuple[Any, ...]:
    memory = "" if event.vram_free is None else _("%s VRAM free") % filesizeformat(event.vram_free)
    queue = "" if event.queue_length is None else _("%s in its queue") % event.queue_length
    return exactly(event.at), event.get_kind_display(), event.detail, memory, queue
