"""The names of a preset's photos as staff write them: one photo a line, `Человек / The person`."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from jobs.catalogue import MAX_TITLE_LENGTH
from qwenedit.admin import Textarea

SEPARATOR = "/"


class PhotoTitlesField(forms.CharField):
    """Lines of text in the form, a list of `{"ru", "en"}` in the row."""

    def __init__(self) -> None:
        super().__init__(
            label=_("What the photos show"),
            required=False,
            widget=Textarea(attrs={"rows": 3}),
            help_text=_(
                "One photo a line, Russian / English. The bot asks for several photos by these names."
            ),
        )

    def prepare_value(self, value: Any) -> Any:
        """Return the lines for a list; what was typed stays as it is."""
        if not isinstance(value, list):
            return value
        return "\n".join(f"{title['ru']} {SEPARATOR} {title['en']}" for title in value)

    def to_python(self, value: Any) -> Any:
        """Return the list for the lines. Raises ValidationError naming the line."""
        if isinstance(value, list):
            return value
        lines = [line for line in (super().to_python(value) or "").splitlines() if line.strip()]
        return [_title(line) for line in lines]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether the lines say something else than the row does."""
        try:
            return bool(self.to_python(data) != (initial or []))
        except ValidationError:
            return True


def _title(line: str) -> dict[str, str]:
    russian, _separator, english = (part.strip() for part in line.partition(SEPARATOR))
    if not russian or not english:
        raise ValidationError(_("Expected “Russian / English”, found “%(line)s”."), params={"line": line})
    if max(len(russian), len(english)) > MAX_TITLE_LENGTH:
        raise ValidationError(
            _("A title has at most %(limit)d characters."), params={"limit": MAX_TITLE_LENGTH}
        )
    return {"ru": russian, "en": english}
