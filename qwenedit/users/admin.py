"""Accounts and their keys in the admin. Of points it knows only where the ledger is shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from qwenedit.admin import (
    AdminPasswordChangeForm,
    CheckboxSelectMultiple,
    ModelAdmin,
    ReadOnlyMixin,
    TabularInline,
    Tone,
    UserChangeForm,
    UserCreationForm,
    action,
    ago,
    badge,
    display,
    matching_number,
)
from qwenedit.users.models import ApiKey, Scope, User
from qwenedit.users.services import create_api_key

ONLY_SUPERUSERS_CHANGE = ["is_staff", "is_superuser", "groups", "user_permissions"]


def key_state(key: ApiKey) -> SafeString:
    """Return whether a key works, as a badge."""
    if key.revoked_at is not None:
        return badge(_("revoked"), Tone.BAD)
    return badge(_("works"), Tone.GOOD)


class ApiKeyInline(ReadOnlyMixin, TabularInline):
    """The keys of a user; each is changed on its own page."""

    model = ApiKey
    extra = 0
    show_change_link = True
    fields = readonly_fields = ("prefix", "name", "shown_scopes", "created_at", "last_used_at", "state")
    verbose_name_plural = _("API keys")

    @display(description=_("scopes"))
    def shown_scopes(self, key: ApiKey) -> str:
        """What the key may do."""
        return ", ".join(key.scopes)

    @display(description=_("state"))
    def state(self, key: ApiKey) -> SafeString:
        """Whether the key works."""
        return key_state(key)


@admin.register(User)
class UserAdmin(ModelAdmin, DjangoUserAdmin):
    """Accounts. One is blocked, never deleted: its ledger stays."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = [
        "username",
        "full_name",
        "telegram_id",
        "points",
        "language",
        "state",
        "is_staff",
        "date_joined",
    ]
    list_filter = ["is_blocked", "is_active", "is_staff", "language", "date_joined"]
    ordering = ["-id"]
    sortable_by = ["username", "points"]
    search_fields = ["username", "first_name", "last_name", "email"]
    search_help_text = _("Name, e-mail address, id or Telegram id")
    readonly_fields = ["points", "last_login", "date_joined"]
    inlines = [ApiKeyInline]
    actions = ["block", "unblock"]
    actions_detail = ["new_key", "jobs_of"]
    fieldsets = [
        (None, {"fields": ["username", "password", "points", "is_blocked"]}),
        (_("Person"), {"fields": ["first_name", "last_name", "email", "telegram_id", "language"]}),
        (_("Access to this admin"), {"fields": ["is_active", *ONLY_SUPERUSERS_CHANGE]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Keep the accounts of staff, and so their passwords and rights, to superusers."""
        is_staff = isinstance(obj, User) and (obj.is_staff or obj.is_superuser)
        shielded = is_staff and not self._by_superuser(request)
        return super().has_change_permission(request, obj) and not shielded

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: every account has ledger entries, which can not be deleted."""
        return False

    def has_key_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Offer a new key to those who may make one."""
        return request.user.has_perm("users.add_apikey")

    def has_jobs_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Offer the list of edits to those who may see it."""
        return request.user.has_perm("jobs.view_job")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Let only superusers make staff."""
        fields = list(super().get_readonly_fields(request, obj))
        return fields if self._by_superuser(request) else fields + ONLY_SUPERUSERS_CHANGE

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        """Show keys of those who exist."""
        return [] if obj is None else super().get_inlines(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """Find users by words in their names, or exactly by a number."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        numbers = matching_number(search_term, "id", "telegram_id")
        return found | queryset.filter(numbers), duplicates

    @display(description=_("name"))
    def full_name(self, user: User) -> str:
        """First and last name."""
        return user.get_full_name()

    @display(description=_("points"), ordering="balance")
    def points(self, user: User) -> SafeString:
        """The balance, as a link to the entries that make it."""
        url = reverse("admin:payments_ledgerentry_changelist", query={"user__id__exact": user.pk})
        return format_html('<a class="qe-link" href="{}">{}</a>', url, user.balance or 0)

    @display(description=_("state"))
    def state(self, user: User) -> SafeString:
        """Whether the account may be used."""
        if user.is_blocked:
            return badge(_("blocked"), Tone.BAD)
        return badge(_("active"), Tone.GOOD) if user.is_active else badge(_("inactive"))

    @action(description=_("Block the selected users"), permissions=["change"])
    def block(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Block users after asking for the reason."""
        reason = self.ask_reason(
            request, queryset, action_name="block", question=_("Block these users?"), button=_("Block")
        )
        if not isinstance(reason, str):
            return reason
        self._set_blocked(request, queryset, blocked=True, note=f"Blocked: {reason}")
        return None

    @action(description=_("Unblock the selected users"), permissions=["change"])
    def unblock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Let users in again."""
        self._set_blocked(request, queryset, blocked=False, note="Unblocked")

    @action(description=_("New API key"), permissions=["key"], url_path="new-key", icon="key")
    def new_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go to the form of a new key of this user."""
        return HttpResponseRedirect(reverse("admin:users_apikey_add", query={"user": object_id}))

    @action(description=_("Jobs"), permissions=["jobs"], url_path="jobs", icon="photo_library")
    def jobs_of(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go to the edits of this user."""
        return HttpResponseRedirect(
            reverse("admin:jobs_job_changelist", query={"user__id__exact": object_id})
        )

    def _set_blocked(
        self, request: HttpRequest, queryset: QuerySet[User], *, blocked: bool, note: str
    ) -> None:
        changed = [
            user for user in queryset.exclude(is_blocked=blocked) if self.has_change_permission(request, user)
        ]
        User.objects.filter(pk__in=[user.pk for user in changed]).update(is_blocked=blocked)
        self.record(request, changed, note)
        count = len(changed)
        self.tell(
            request,
            ngettext("%(count)d user changed.", "%(count)d users changed.", count) % {"count": count},
            ok=count > 0,
        )

    @staticmethod
    def _by_superuser(request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_superuser


class ApiKeyForm(forms.ModelForm):
    """A key's name and scopes."""

    scopes = forms.MultipleChoiceField(
        label=_("Scopes"), choices=Scope.choices, widget=CheckboxSelectMultiple
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
        """Show the text of the new key, in a page that nothing keeps."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("New API key"),
            "opts": self.opts,
            "media": self.media,
            "key": obj,
            "text": obj.text,  # type: ignore[attr-defined]
        }
        return TemplateResponse(
            request,
            "admin/users/apikey/created.html",
            context,
            headers={"Cache-Control": "private, no-store"},
        )

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


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(ModelAdmin, DjangoGroupAdmin):
    """Groups of staff, in the theme's dress."""
