"""Keys of the REST API in the admin. A key's text is shown once, in the answer to the form that made it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from qwenedit.admin import (
    CheckboxSelectMultiple,
    ModelAdmin,
    Tone,
    action,
    ago,
    badge,
    display,
    matching_number,
)
from qwenedit.users.models import ApiKey, Scope, every_scope
from qwenedit.users.services import create_api_key


def key_state(key: ApiKey) -> SafeString:
    """Return whether a key works, as a badge."""
    if key.revoked_at is not None:
        return badge(_("revoked"), Tone.BAD)
    return badge(_("works"), Tone.GOOD)


class ApiKeyForm(forms.ModelForm):
    """A key's name and scopes."""

    scopes = forms.MultipleChoiceField(
        label=_("Scopes"), choices=Scope.choices, initial=every_scope, widget=CheckboxSelectMultiple
    )

    class Meta:
        model = ApiKey
        fields = ["user", "name", "scopes"]


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """Keys of the REST API. A key's text is shown once, in the answer to the form that made it."""

    form = ApiKeyForm
    list_display = ["prefix", "name", "user", "shown_scopes", "created", "last_used", "state"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "created_at"]
    list_select_related = ["user"]
    sortable_by = ["prefix"]
    search_fields = ["prefix", "name", "user__username"]
    search_help_text = _("Beginning of the key, its name, user name or user id")
    autocomplete_fields = ["user"]
    actions = ["revoke"]
    actions_detail = ["revoke_this"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: a key is revoked, and stays to tell what it was used for."""
        return False

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Ask for what a new key needs; show the rest once it exists."""
        fields = ["user", "name", "scopes"]
        return fields if obj is None else ["prefix", *fields, "created_at", "last_used_at", "revoked_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """Keep everything but the name and the scopes as it was made."""
        return [] if obj is None else ["prefix", "user", "created_at", "last_used_at", "revoked_at"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """Find keys by their beginning, their name or their user."""
        term = search_term.strip()
        if not term:
            return queryset, False
        words = Q(prefix__startswith=term[:11]) | Q(name__icontains=term) | Q(user__username__icontains=term)
        return queryset.filter(words | matching_number(term, "user_id", "user__telegram_id")), False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:  # noqa: FBT001
        """Make a new key through the service that alone knows its text."""
        if change:
            super().save_model(request, obj, form, change)
            return
        key, text = create_api_key(user=obj.user, name=obj.name, scopes=obj.scopes)
        obj.pk = key.pk
        obj.refresh_from_db()
        obj.text = text  # type: ignore[attr-defined]  # for the answer below; it must not pass through a cookie

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the text of the new key; like all pages of the admin, this one is kept by no cache."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("New API key"),
            "opts": self.opts,
            "media": self.media,
            "key": obj,
            "text": obj.text,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/users/apikey/created.html", context)

    @display(description=_("scopes"))
    def shown_scopes(self, key: ApiKey) -> str:
        """What the key may do."""
        return ", ".join(key.scopes)

    @display(description=_("created"), ordering="created_at")
    def created(self, key: ApiKey) -> SafeString | None:
        """Age of the key."""
        return ago(key.created_at)

    @display(description=_("last used"), ordering="last_used_at")
    def last_used(self, key: ApiKey) -> SafeString | None:
        """When the key was last used, to the minute."""
        return ago(key.last_used_at)

    @display(description=_("state"))
    def state(self, key: ApiKey) -> SafeString:
        """Whether the key works."""
        return key_state(key)

    @action(description=_("Revoke the selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Revoke keys for good, after asking for the reason."""
        reason = self.ask_reason(
            request,
            queryset,
            action_name="revoke",
            question=_("Revoke for good? Whoever uses the key is shut out at once."),
            button=_("Revoke"),
        )
        if not isinstance(reason, str):
            return reason
        working = list(queryset.filter(revoked_at__isnull=True))
        ApiKey.objects.filter(pk__in=[key.pk for key in working]).update(revoked_at=timezone.now())
        self.record(request, working, f"Revoked: {reason}")
        count = len(working)
        self.tell(
            request,
            ngettext("%(count)d key revoked.", "%(count)d keys revoked.", count) % {"count": count},
            ok=count > 0,
        )
        return None

    @action(description=_("Revoke"), permissions=["change"], url_path="revoke", icon="block")
    def revoke_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Revoke one key, from its page."""
        page = self.revoke(request, self.only(request, object_id))
        return page or HttpResponseRedirect(reverse("admin:users_apikey_change", args=[object_id]))
