"""What the pages about the bot share: links, and content as it came."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


def link(to: str, text: Any, *args: Any) -> SafeString:
    """Return a link to the page of the admin that is called `to`."""
    return format_html('<a class="qe-link" href="{}">{}</a>', reverse(f"admin:{to}", args=args), text)


def links(targets: Iterable[tuple[Any, str, dict[str, str]]]) -> SafeString:
    """Return links to lists of the admin: text, the list's name and its query."""
    return format_html_join(
        " · ",
        '<a class="qe-link" href="{}">{}</a>',
        ((reverse(f"admin:{to}", query=query), text) for text, to, query in targets),
    )


def as_it_came(content: Any) -> SafeString | None:
    """Return JSON word for word."""
    if not content:
        return None
    text = json.dumps(content, ensure_ascii=False, indent=2)
    return format_html('<span class="qe-wrap qe-code">{}</span>', text)
