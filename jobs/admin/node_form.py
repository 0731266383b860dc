"""The form of a node: its address taken apart, so that a password is written and never shown again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from jobs.comfy.address import Address
from jobs.models import Node
from qwenedit.admin import PasswordInput, TextInput

LONGEST_URL = 500
ADDRESS = ["address", "user", "password"]
# What a node begins with at a new address: what was found out at another means nothing there.
UNKNOWN: dict[str, object] = {
    "is_healthy": None,
    "stalled_since": None,
    "problem": "",
    "failures_in_row": 0,
    "tripped_at": None,
    "tripped_until": None,
}


class SwitchesForm(forms.ModelForm):
    """What may be changed of every node: not the address of one that COMFYUI_URL names."""

    class Meta:
        model = Node
        fields = ["name", "is_enabled", "is_draining"]

    @property
    def written(self) -> set[str]:
        """The fields of the row that the form has changed."""
        return {*self.changed_data}


class NodeForm(SwitchesForm):
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

    def __init__(self, data: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(_credentials_apart(data), *args, **kwargs)
        self.has_new_address = False
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
            self.has_new_address = True
            for name, value in {"url": url, **UNKNOWN}.items():
                setattr(self.instance, name, value)
        return cleaned

    @property
    def written(self) -> set[str]:
        """The fields of the row that the form has changed."""
        switched = super().written - {*ADDRESS}
        return switched | {"url", *UNKNOWN} if self.has_new_address else switched


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
