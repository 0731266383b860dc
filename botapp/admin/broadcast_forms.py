"""The forms of a broadcast: writing it, trying it, starting it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _
from telegram.constants import FileSizeLimit

from botapp.models import Broadcast, Chat
from botapp.outbox.broadcast_message import InvalidBroadcast, check
from qwenedit.admin import NumberInput, OnceForm, TextInput

TOKEN_SECONDS = 24 * 3600
MOST_SIDES = 10_000  # pixels, width and height together; Telegram's own limits for a photo
MOST_RATIO = 20


class BroadcastForm(forms.ModelForm):
    """A message that Telegram will take."""

    button_url = forms.URLField(
        label=_("Button leads to"),
        max_length=500,
        required=False,
        assume_scheme="https",
        widget=TextInput,
    )

    class Meta:
        model = Broadcast
        fields = [
            "title",
            "segment",
            "text_ru",
            "text_en",
            "picture",
            "button_text_ru",
            "button_text_en",
            "button_url",
        ]

    def clean_text_ru(self) -> str:
        """Return the text with the line breaks that Telegram counts."""
        return str(self.cleaned_data["text_ru"]).replace("\r\n", "\n")

    def clean_text_en(self) -> str:
        """Return the text with the line breaks that Telegram counts."""
        return str(self.cleaned_data["text_en"]).replace("\r\n", "\n")

    def clean_picture(self) -> Any:
        """Refuse a picture that Telegram would not take as a photo."""
        picture = self.cleaned_data["picture"]
        if isinstance(picture, UploadedFile):
            width, height = picture.image.size  # type: ignore[attr-defined]
            is_odd = width + height > MOST_SIDES or max(width, height) > MOST_RATIO * min(width, height)
            if is_odd or (picture.size or 0) > FileSizeLimit.PHOTOSIZE_UPLOAD:
                raise ValidationError(_("At most 10 MB, and sides that fit a photo."))
        return picture

    def clean(self) -> dict[str, Any]:
        """Look at the whole message as Telegram would."""
        told = super().clean() or {}
        if not self.errors:
            written = Broadcast(**{name: told[name] for name in told if name != "picture"})
            written.picture = told.get("picture") or ""
            try:
                check(written)
            except InvalidBroadcast as error:
                raise ValidationError(error.message) from error
        return told


class StartForm(OnceForm):
    """Nothing to fill in: only the wish to begin."""


class TestForm(OnceForm):
    """To which chat a broadcast is sent for trial."""

    chat = forms.IntegerField(
        label=_("Telegram id"),
        min_value=1,
        max_value=2**53,
        widget=NumberInput,
        help_text=_("Yours. You must have started the bot."),
    )

    def clean_chat(self) -> int:
        """Refuse a chat that the bot does not know."""
        chat_id: int = self.cleaned_data["chat"]
        if not Chat.objects.filter(pk=chat_id).exists():
            raise ValidationError(_("Nobody with this id has started the bot."))
        return chat_id

    def is_first(self) -> bool:
        """Tell whether this form was not sent before."""
        return cache.add(f"broadcast-test:{self.cleaned_data['form_token']}", 1, TOKEN_SECONDS)
