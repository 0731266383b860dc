"""Forms as a browser sends them: every field as the page has it, but for what somebody types."""

from typing import Any


def filled(page: Any, **typed: object) -> dict[str, Any]:
    """Return what a browser would send from the page's form if nothing but `typed` were entered."""
    form = page.context["form"]
    shown = {field.html_name: field.value() for field in form}
    return {name: value for name, value in {**shown, **typed}.items() if value not in (None, False)}


def messages(page: Any) -> str:
    """Return what the page tells of the last action."""
    return " ".join(str(message) for message in page.context["messages"])
