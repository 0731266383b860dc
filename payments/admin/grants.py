"""The form that gives points to users, or takes them: with a reason, and once however often it is sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payments import ledger
from payments.admin.parts import signed
from payments.ledger import InsufficientPoints, KeyConflict
from payments.models import LedgerEntry
from qwenedit.admin import NumberInput, OnceForm, TextInput
from qwenedit.users.models import User

if TYPE_CHECKING:
    from payments.admin.ledger import LedgerEntryAdmin

MOST_USERS: Final = 500  # a request may hold 1,000 fields, and each user is one
LARGEST_GRANT: Final = 10**9
PERMISSION: Final = "payments.grant_points"
PAGE: Final = "admin:payments_ledgerentry_grant_points"


class UsersInput(AutocompleteSelectMultiple):
    """Users that are searched for; Django's own would ask the database for whatever was sent."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        """Return the numbers among what was sent."""
        sent = super().value_from_datadict(data, files, name)
        return [value for value in sent if value.isdecimal() and len(value) < 19]


class GrantForm(OnceForm):
    """To whom, how many points, and why."""

    users = forms.ModelMultipleChoiceField(
        label=_("Users"),
        queryset=User.objects.order_by("pk"),
        widget=UsersInput(LedgerEntry._meta.get_field("user"), admin.site),
    )
    points = forms.IntegerField(
        label=_("Points"),
        min_value=-LARGEST_GRANT,
        max_value=LARGEST_GRANT,
        widget=NumberInput,
        help_text=_("For each of the users. With a minus they are taken."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=ledger.LONGEST_DESCRIPTION,
        widget=TextInput,
        help_text=_("Kept in the ledger, where the user sees it too."),
    )

    def clean_users(self) -> list[User]:
        """Refuse more users than one request should serve."""
        users = list(self.cleaned_data["users"])
        if len(users) > MOST_USERS:
            raise ValidationError(_("At most %d users at a time.") % MOST_USERS)
        return users

    def clean_points(self) -> int:
        """Refuse an entry that moves nothing."""
        points: int = self.cleaned_data["points"]
        if points == 0:
            raise ValidationError(_("Nothing is not worth an entry."))
        return points


@dataclass
class Outcome:
    """To whom the points went now, who had them by this form already, and who could not give them."""

    done: list[User] = field(default_factory=list)
    before: list[User] = field(default_factory=list)
    refused: list[tuple[User, str]] = field(default_factory=list)


def ask_for_grant(
    entries: LedgerEntryAdmin, request: HttpRequest, users: Iterable[User] = (), form: GrantForm | None = None
) -> HttpResponse:
    """Return the page with the form, filled in for `users`."""
    chosen = [user.pk for user in users]
    return entries.ask(
        request,
        form or GrantForm(initial={"users": chosen}),
        question=_("Give points, or take them?"),
        button=_("Post"),
        target=reverse(PAGE),
    )


def grant_page(entries: LedgerEntryAdmin, request: HttpRequest) -> HttpResponse:
    """Ask whom to give how many points; give them, and tell what came of it for each user."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if request.method != "POST":
        named = request.GET.get("user", "")
        users = User.objects.filter(pk=int(named)) if named.isdecimal() else User.objects.none()
        return ask_for_grant(entries, request, users)
    form = GrantForm(request.POST)
    if not form.is_valid():
        return ask_for_grant(entries, request, form=form)
    told = form.cleaned_data
    outcome = _grant(entries, request, told["users"], told["points"], told["reason"], told["form_token"])
    _tell(entries, request, outcome, told["points"])
    query = {"user__id__exact": told["users"][0].pk} if len(told["users"]) == 1 else {"kind__exact": "grant"}
    if request.user.has_perm("payments.view_ledgerentry"):
        return HttpResponseRedirect(reverse("admin:payments_ledgerentry_changelist", query=query))
    return HttpResponseRedirect(reverse("admin:index"))


def _grant(
    entries: LedgerEntryAdmin,
    request: HttpRequest,
    users: list[User],
    points: int,
    reason: str,
    token: uuid.UUID,
) -> Outcome:
    """Post for one user after another: each entry is there with its line of history, or neither is."""
    outcome = Outcome()
    for user in users:
        try:
            with transaction.atomic():
                posting = ledger.grant(
                    user_id=user.pk,
                    points=points,
                    key=f"{token}:{user.pk}",
                    reason=reason,
                    staff_id=request.user.pk,
                )
                if posting.created:
                    entries.record(request, [user, posting.entry], f"{signed(points)} points: {reason}")
        except InsufficientPoints as error:
            outcome.refused.append((user, str(_("has %d points")) % error.extra["balance"]))
        except KeyConflict:
            outcome.refused.append((user, str(_("got another amount by this same form: open a new one"))))
        else:
            (outcome.done if posting.created else outcome.before).append(user)
    return outcome


def _tell(entries: LedgerEntryAdmin, request: HttpRequest, outcome: Outcome, points: int) -> None:
    if outcome.done:
        count = len(outcome.done)
        text = ngettext("%(points)s points: %(count)d user.", "%(points)s points: %(count)d users.", count)
        entries.tell(request, text % {"points": signed(points), "count": count})
    if outcome.before:
        count = len(outcome.before)
        text = ngettext(
            "%(count)d user had this from the form already: nothing was posted again.",
            "%(count)d users had this from the form already: nothing was posted again.",
            count,
        )
        entries.tell(request, text % {"count": count}, ok=False)
    for user, why in outcome.refused:
        told = {"user": user, "number": user.pk, "why": why}
        entries.tell(request, _("Not posted for %(user)s (#%(number)d): %(why)s.") % told, ok=False)
