"""Form fields of the bot's admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from botapp import markup


class MarkupField(forms.CharField):
    """A text in Telegram's HTML, refused here if Telegram would refuse it."""

    def to_python(self, value: Any) -> Any:
        """Return the text with plain line breaks: browsers send others, and Telegram counts them."""
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    def validate(self, value: Any) -> None:
        """Raise ValidationError with everything that is wrong."""
        super().validate(value)
        problems = markup.problems(value or "")
        if problems:
            raise ValidationError(problems)
