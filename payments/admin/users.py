"""What points add to accounts in the admin: the way to the form that gives and takes them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from payments.admin.grants import MOST_USERS, PAGE, PERMISSION, ask_for_grant
from payments.models import LedgerEntry
from qwenedit.admin import action
from qwenedit.users.admin.users import UserAdmin
from qwenedit.users.models import User

admin.site.unregister(User)


@admin.register(User)
class PointsUserAdmin(UserAdmin):
    """Accounts, with points to give and to take."""

    actions = [*UserAdmin.actions, "grant"]
    actions_detail = [*UserAdmin.actions_detail, "grant_this"]

    def has_grant_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Offer the form to those who may post."""
        return request.user.has_perm(PERMISSION)

    @action(description=_("Give or take points"), permissions=["grant"])
    def grant(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Show the form for the selected users."""
        users = list(queryset.order_by("pk")[: MOST_USERS + 1])
        if len(users) > MOST_USERS:
            self.tell(request, _("At most %d users at a time.") % MOST_USERS, ok=False)
            return None
        entries: Any = admin.site.get_model_admin(LedgerEntry)
        return ask_for_grant(entries, request, users)

    @action(description=_("Give or take points"), permissions=["grant"], url_path="points", icon="toll")
    def grant_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go to the form, filled in for one user."""
        return HttpResponseRedirect(reverse(PAGE, query={"user": object_id}))
