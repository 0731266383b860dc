"""Accounts and groups in the admin. Of points it knows only where the ledger is shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from qwenedit.admin import (
    AdminPasswordChangeForm,
    ModelAdmin,
    ReadOnlyMixin,
    TabularInline,
    Tone,
    UserChangeForm,
    UserCreationForm,
    action,
    badge,
    display,
    link,
    matching_number,
)
from qwenedit.users.admin.keys import key_state
from qwenedit.users.models import ApiKey, Referral, User

ONLY_SUPERUSERS_CHANGE = ["is_staff", "is_superuser", "groups", "user_permissions"]


def account_link(user_id: int) -> SafeString:
    """Return the number of an account, as a link to its page."""
    return link("users_user_change", user_id, user_id)


class ApiKeyInline(ReadOnlyMixin, TabularInline):
    """The keys of a user; each is changed on its own page."""

    model = ApiKey
    extra = 0
    fields = readonly_fields = ("shown_prefix", "name", "shown_scopes", "created_at", "last_used_at", "state")
    verbose_name_plural = _("API keys")

    @display(description=_("key"))
    def shown_prefix(self, key: ApiKey) -> SafeString:
        """The first letters, as a link to the key's page."""
        return link("users_apikey_change", key, key.pk)

    @display(description=_("scopes"))
    def shown_scopes(self, key: ApiKey) -> str:
        """What the key may do."""
        return ", ".join(key.scopes)

    @display(description=_("state"))
    def state(self, key: ApiKey) -> SafeString:
        """Whether the key works."""
        return key_state(key)


class ReferralInline(ReadOnlyMixin, TabularInline):
    """Whom a user has invited, the newest first."""

    model = Referral
    fk_name = "inviter"
    extra = 0
    per_page = 20
    ordering = ["-created_at"]
    fields = readonly_fields = ("shown_friend", "created_at", "rewarded_at")
    verbose_name_plural = _("invited friends")

    @display(description=_("friend"))
    def shown_friend(self, referral: Referral) -> SafeString:
        """The friend, as a link to their account."""
        return account_link(referral.friend_id)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
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
    readonly_fields = ["points", "invited_by", "last_login", "date_joined", "erased_at"]
    inlines = [ApiKeyInline, ReferralInline]
    actions = ["block", "unblock"]
    actions_detail = ["new_key", "jobs_of"]
    fieldsets = [
        (None, {"fields": ["username", "password", "points", "is_blocked"]}),
        (
            _("Person"),
            {"fields": ["first_name", "last_name", "email", "telegram_id", "language", "invited_by"]},
        ),
        (_("Access to this admin"), {"fields": ["is_active", *ONLY_SUPERUSERS_CHANGE]}),
        (_("Dates"), {"fields": ["last_login", "date_joined", "erased_at"]}),
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
        return link("payments_ledgerentry_changelist", user.balance or 0, user__id__exact=user.pk)

    @display(description=_("invited by"))
    def invited_by(self, user: User) -> SafeString | None:
        """Who brought the user, as a link to their account."""
        referral = Referral.objects.filter(friend=user).first()
        return account_link(referral.inviter_id) if referral else None

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


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of staff, in the theme's dress."""
