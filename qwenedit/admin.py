"""The one place that knows the admin's theme.

Every app's admin takes its base classes, decorators, forms and widgets from here, so that all of them run on
django-unfold, and on Django's own admin where unfold is not in INSTALLED_APPS. Knows no model.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING or not apps.is_installed("unfold"):
    from django.contrib.admin import ModelAdmin as ThemeModelAdmin
    from django.contrib.admin import TabularInline as ThemeTabularInline
    from django.contrib.admin.widgets import AdminFileWidget as ImageInput
    from django.contrib.admin.widgets import AdminTextareaWidget as Textarea
    from django.contrib.admin.widgets import AdminTextInputWidget as TextInput
    from django.contrib.auth.forms import AdminPasswordChangeForm as AdminPasswordChangeForm
    from django.contrib.auth.forms import AdminUserCreationForm as UserCreationForm
    from django.contrib.auth.forms import UserChangeForm as UserChangeForm
    from django.forms import CheckboxInput as CheckboxInput
    from django.forms import CheckboxSelectMultiple as CheckboxSelectMultiple
    from django.forms import NumberInput as NumberInput
    from django.forms import PasswordInput as PasswordInput

    theme_action: Any = None
else:
    from unfold.admin import ModelAdmin as ThemeModelAdmin
    from unfold.admin import TabularInline as ThemeTabularInline
    from unfold.decorators import action as theme_action
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
    from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as CheckboxSelectMultiple
    from unfold.widgets import UnfoldAdminDecimalFieldWidget as NumberInput
    from unfold.widgets import UnfoldAdminImageFieldWidget as ImageInput
    from unfold.widgets import UnfoldAdminPasswordWidget as PasswordInput
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput
    from unfold.widgets import UnfoldBooleanWidget as CheckboxInput

__all__ = [
    "AdminPasswordChangeForm",
    "CheckboxInput",
    "CheckboxSelectMultiple",
    "ImageInput",
    "ModelAdmin",
    "MomentInput",
    "NumberInput",
    "OnceForm",
    "PasswordInput",
    "ReadOnlyMixin",
    "TabularInline",
    "TextInput",
    "Textarea",
    "Tone",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "ago",
    "as_it_came",
    "badge",
    "clipped",
    "display",
    "exactly",
    "link",
    "matching_number",
    "unbroken",
]

MOST_COUNTED: Final = 10_000
MOST_NAMED: Final = 20

display = admin.display
Method = TypeVar("Method", bound=Callable[..., Any])


class Tone(StrEnum):
    """What the colour of a badge says."""

    GOOD = "good"
    BAD = "bad"
    WARNING = "warning"
    BUSY = "busy"
    PLAIN = "plain"


def action(
    *, description: Any, permissions: Sequence[str] = (), url_path: str | None = None, icon: str | None = None
) -> Callable[[Method], Method]:
    """Mark a method as an action of the list; one that `actions_detail` names is also a button of the theme.

    `permissions` are names of `has_…_permission` methods. A button comes as GET: it may only ask or look.
    """
    options: dict[str, Any] = {"description": description, "permissions": permissions or None}
    if theme_action is not None:
        options |= {"url_path": url_path, "icon": icon}
    decorator: Callable[[Method], Method] = (theme_action or admin.action)(**options)
    return decorator


def badge(text: Any, tone: Tone = Tone.PLAIN) -> SafeString:
    """Return a short text on a coloured ground."""
    return format_html('<span class="qe-badge qe-{}">{}</span>', tone.value, text)


def exactly(moment: datetime | None) -> SafeString | None:
    """Return a moment to the second."""
    return unbroken(_iso(moment)) if moment else None


def ago(moment: datetime | None) -> SafeString | None:
    """Return how long ago a moment was; the moment itself shows on hover."""
    if moment is None:
        return None
    recent = timezone.now() - moment < timedelta(minutes=1)
    text = _("just now") if recent else _("%s ago") % timesince(moment, depth=1)
    return format_html('<span title="{}">{}</span>', _iso(moment), unbroken(text))


def _iso(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"


def unbroken(text: Any) -> SafeString:
    """Return a text that stays on one line."""
    return format_html('<span class="qe-nowrap">{}</span>', text)


def clipped(text: str) -> SafeString | None:
    """Return as much of a text as fits a list; all of it shows on hover."""
    return format_html('<span class="qe-clip" title="{}">{}</span>', text, text) if text else None


def link(to: str, text: Any, *args: Any, **query: Any) -> SafeString:
    """Return a link to the page of the admin that is called `to`, with a query where one is given."""
    url = reverse(f"admin:{to}", args=args, query=query)
    return format_html('<a class="qe-link" href="{}">{}</a>', url, text)


def as_it_came(content: Any) -> SafeString | None:
    """Return somebody else's words, or their JSON in lines."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
    return format_html('<span class="qe-wrap qe-code">{}</span>', text) if content else None


def matching_number(term: str, *fields: str) -> Q:
    """Return the condition that one of `fields` is the number in `term`; no row matches where it is none."""
    number = term.strip().removeprefix("#")
    condition = Q(pk__in=[])
    if number.isascii() and number.isdecimal() and int(number) < 2**63:
        for field in fields:
            condition |= Q(**{field: int(number)})
    return condition


class CappedPaginator(Paginator):
    """Counts no further than MOST_COUNTED: a table of millions of rows opens as fast as a small one.

    What lies beyond is reached by search and filters.
    """

    @cached_property
    def count(self) -> int:
        """Number of rows, or MOST_COUNTED where there are more."""
        if isinstance(self.object_list, QuerySet):
            return self.object_list.order_by().values("pk")[:MOST_COUNTED].count()
        return len(self.object_list)


class ReadOnlyMixin:
    """Lets nobody add, change or delete, superusers included. For admins of models and for inlines."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False


class TabularInline(ThemeTabularInline):
    """A table of related rows, without the line above each row that repeats its name."""

    show_title = False
    if not hasattr(ThemeTabularInline, "show_title"):
        hide_title = True  # what earlier releases of unfold call it; later ones warn of it


class MomentInput(TextInput):
    """A day and a time, in UTC, chosen with what the browser has for it."""

    input_type = "datetime-local"


class OnceForm(forms.Form):
    """A form that carries a token of its own, by which a second click is told from a second wish."""

    form_token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)


class ReasonForm(forms.Form):
    """Why somebody does what can not be undone; the answer goes to the row's history."""

    reason = forms.CharField(
        label=_("Reason"), max_length=200, widget=TextInput, help_text=_("Kept in the history.")
    )


class ModelAdmin(ThemeModelAdmin):
    """What all our admins share: lists that stay fast on any table, and the question for a reason."""

    list_per_page = 50
    list_fullwidth = True
    show_full_result_count = False
    paginator = CappedPaginator

    class Media:
        css = {"all": ["qwenedit/admin.css"]}

    def ask_reason(
        self, request: HttpRequest, queryset: QuerySet[Any], *, action_name: str, question: Any, button: Any
    ) -> str | HttpResponse:
        """Return the reason that was given, or the page that asks for it, to be returned to the browser."""
        form = ReasonForm(request.POST if "apply" in request.POST else None)
        if form.is_valid():
            return str(form.cleaned_data["reason"])
        named = list(queryset[: MOST_NAMED + 1])
        return self.ask(
            request,
            form,
            question=question,
            button=button,
            named=named[:MOST_NAMED],
            more=len(named) > MOST_NAMED,
            action_name=action_name,
            selected=request.POST.getlist(ACTION_CHECKBOX_NAME) or [row.pk for row in named],
            checkbox_name=ACTION_CHECKBOX_NAME,
            select_across=request.POST.get("select_across", "0"),
        )

    def ask(
        self,
        request: HttpRequest,
        form: forms.Form,
        *,
        question: Any,
        button: Any,
        facts: Iterable[tuple[Any, Any]] = (),
        **context: Any,
    ) -> TemplateResponse:
        """Return a page with a question, the facts one should know, and a form.

        The form comes back with `apply`. More of the page, by name in `context`: `preview` is the text of a
        button that sends the form to be looked at only, `target` the address it is sent to, `back` where one
        goes instead, `named` the rows it is about.
        """
        context = {
            **self.admin_site.each_context(request),
            "title": question,
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
            "facts": list(facts),
            "button": button,
            **context,
        }
        return TemplateResponse(request, "admin/ask.html", context)

    def only(self, request: HttpRequest, object_id: str) -> QuerySet[Any]:
        """Return the query of the one row that a page is about. Raises Http404."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        return self.get_queryset(request).filter(pk=row.pk)

    def record(self, request: HttpRequest, rows: Sequence[Model], text: str) -> None:
        """Write what was done to every row's history."""
        for row in rows:
            self.log_change(request, row, text)

    def tell(self, request: HttpRequest, text: Any, *, ok: bool = True) -> None:
        """Show the outcome on the next page."""
        self.message_user(request, text, messages.SUCCESS if ok else messages.WARNING)
