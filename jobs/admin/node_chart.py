"""A node's free memory and queue over time, as small drawings and a table. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from jobs.models import Node
from qwenedit.admin import exactly

DRAWN_FOR = timedelta(hours=6)
ROWS_SHOWN = 10
LONGEST_STEP = timedelta(minutes=2)  # beyond it a line breaks: the node was silent
HEIGHT = 40

Points = Sequence[tuple[datetime, int]]


def load_over_time(node: Node, *, now: datetime) -> SafeString | None:
    """Return memory and queue of the last six hours, drawn, and the last ten minutes in figures."""
    recent = node.samples.filter(at__gt=now - DRAWN_FOR)
    samples = list(recent.order_by("at").values_list("at", "vram_free", "queue_length"))
    if not samples:
        return None
    memory = [(at, free) for at, free, _queue in samples]
    queue = [(at, length) for at, _free, length in samples]
    lines = [
        (_("VRAM free"), sparkline(memory, now=now, top=node.vram_total), _range(memory, filesizeformat)),
        (_("in its queue"), sparkline(queue, now=now), _range(queue, str)),
    ]
    figures = [
        (exactly(at), filesizeformat(free), length) for at, free, length in samples[: -ROWS_SHOWN - 1 : -1]
    ]
    return format_html(
        '<table class="qe-table">{}</table>'
        '<table class="qe-table"><tr><th>{}</th><th>{}</th><th>{}</th></tr>{}</table>',
        format_html_join("", "<tr><th>{}</th><td>{}</td><td>{}</td></tr>", lines),
        _("minute"),
        _("VRAM free"),
        _("in its queue"),
        format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", figures),
    )


def sparkline(points: Points, *, now: datetime, top: int | None = None) -> SafeString:
    """Draw values, the oldest first, from zero to `top` or the highest, over the six hours until now."""
    width = int(DRAWN_FOR.total_seconds() // 60)
    top = max(top or 0, *(value for _at, value in points), 1)
    steps, before = [], None
    for at, value in points:
        x = width - int((now - at).total_seconds() // 60)
        y = HEIGHT - value * HEIGHT // top
        is_joined = before is not None and at - before <= LONGEST_STEP
        steps.append(f"L{x} {y}" if is_joined else f"M{x} {y}h0")  # h0: a value alone is a dot
        before = at
    return format_html(
        '<svg class="qe-spark" viewBox="0 -2 {} {}" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="{}" vector-effect="non-scaling-stroke"/></svg>',
        width,
        HEIGHT + 4,
        "".join(steps),
    )


def _range(points: Points, shown: Any) -> str:
    values = [value for _at, value in points]
    return _("now %(now)s, %(least)s to %(most)s in six hours") % {
        "now": shown(values[-1]),
        "least": shown(min(values)),
        "most": shown(max(values)),
    }
