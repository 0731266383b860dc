"""Chats and what came in from them, in the admin: read only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from botapp.models import Chat, IncomingUpdate
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    Tone,
    ago,
    as_it_came,
    badge,
    clipped,
    display,
    exactly,
    link,
    matching_number,
)


@admin.register(Chat)
class ChatAdmin(ReadOnlyMixin, ModelAdmin):
    """People who have talked to the bot."""

    actions = None
    list_display = ["id", "person", "language", "reach", "step", "first_seen", "last_seen"]
    list_filter = [("gone_at", admin.EmptyFieldListFilter), "user__language", "active_at"]
    list_select_related = ["user"]
    sortable_by = ["id", "last_seen"]
    search_fields = ["id", "user__username", "user__first_name"]
    search_help_text = _("Telegram id, user id, user name or first name")
    fieldsets = [
        (None, {"fields": ["id", "person", "language", "reach", "of_this_chat"]}),
        (_("Conversation"), {"fields": ["step", "draft", "forgotten"]}),
        (_("Times"), {"fields": ["first_message", "last_message", "gone"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Chat], search_term: str
    ) -> tuple[QuerySet[Chat], bool]:
        """Find chats by number or name."""
        term = search_term.strip()
        if not term:
            return queryset, False
        names = Q(user__username__icontains=term) | Q(user__first_name__icontains=term)
        return queryset.filter(names | matching_number(term, "id", "user_id")), False

    @display(description=_("user"))
    def person(self, chat: Chat) -> SafeString:
        """The account, as a link."""
        return link("users_user_change", chat.user.first_name or chat.user.username, chat.user_id)

    @display(description=_("language"))
    def language(self, chat: Chat) -> str:
        """What the person reads."""
        return chat.user.get_language_display()

    @display(description=_("state"))
    def reach(self, chat: Chat) -> SafeString:
        """Whether messages arrive."""
        return badge(_("gone"), Tone.WARNING) if chat.gone_at else badge(_("reachable"), Tone.GOOD)

    @display(description=_("more"))
    def of_this_chat(self, chat: Chat) -> SafeString:
        """Ways to what belongs to the chat."""
        lists = [
            (_("orders"), "botapp_order_changelist"),
            (_("deliveries"), "botapp_delivery_changelist"),
            (_("updates"), "botapp_incomingupdate_changelist"),
        ]
        return format_html_join(" · ", "{}", ((link(to, text, q=chat.pk),) for text, to in lists))

    @display(description=_("first seen"))
    def first_seen(self, chat: Chat) -> SafeString | None:
        """How long ago the person came."""
        return ago(chat.created_at)

    @display(description=_("last seen"), ordering="active_at")
    def last_seen(self, chat: Chat) -> SafeString | None:
        """How long ago the person was here."""
        return ago(chat.active_at)

    @display(description=_("forgotten at"))
    def forgotten(self, chat: Chat) -> SafeString | None:
        """When what was chosen so far is forgotten, to the second."""
        return exactly(chat.expires_at)

    @display(description=_("first seen"))
    def first_message(self, chat: Chat) -> SafeString | None:
        """When the person came, to the second."""
        return exactly(chat.created_at)

    @display(description=_("last seen"))
    def last_message(self, chat: Chat) -> SafeString | None:
        """When the person was here last, to the second."""
        return exactly(chat.active_at)

    @display(description=_("blocked the bot"))
    def gone(self, chat: Chat) -> SafeString | None:
        """When a message did not arrive for the first time, to the second."""
        return exactly(chat.gone_at)


@admin.register(IncomingUpdate)
class IncomingUpdateAdmin(ReadOnlyMixin, ModelAdmin):
    """What Telegram told the bot, and what came of it."""

    actions = None
    list_display = ["id", "chat_id", "state", "result", "tries", "received"]
    list_filter = [("processed_at", admin.EmptyFieldListFilter), "received_at"]
    sortable_by = ["id"]
    search_fields = ["id", "chat_id"]
    search_help_text = _("Number of the update, or Telegram id of the chat")
    fieldsets = [
        (None, {"fields": ["id", "chat_id", "state", "outcome", "tries"]}),
        (_("Times"), {"fields": ["arrived", "processed", "tried_next"]}),
        (_("As it came"), {"fields": ["content"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[IncomingUpdate], search_term: str
    ) -> tuple[QuerySet[IncomingUpdate], bool]:
        """Find updates by number or chat."""
        term = search_term.strip()
        return (queryset.filter(matching_number(term, "id", "chat_id")) if term else queryset), False

    @display(description=_("state"))
    def state(self, update: IncomingUpdate) -> SafeString:
        """Whether it is processed."""
        return badge(_("processed")) if update.processed_at else badge(_("waits"), Tone.WARNING)

    @display(description=_("outcome"))
    def result(self, update: IncomingUpdate) -> SafeString | None:
        """What came of it, as far as it fits."""
        return clipped(update.outcome)

    @display(description=_("received"), ordering="id")
    def received(self, update: IncomingUpdate) -> SafeString | None:
        """How long ago it came."""
        return ago(update.received_at)

    @display(description=_("received"))
    def arrived(self, update: IncomingUpdate) -> SafeString | None:
        """When it came, to the second."""
        return exactly(update.received_at)

    @display(description=_("processed"))
    def processed(self, update: IncomingUpdate) -> SafeString | None:
        """When it was done with, to the second."""
        return exactly(update.processed_at)

    @display(description=_("tried next"))
    def tried_next(self, update: IncomingUpdate) -> SafeString | None:
        """When it is tried the next time, to the second."""
        return None if update.processed_at else exactly(update.next_try_at)

    @display(description=_("content"))
    def content(self, update: IncomingUpdate) -> SafeString | None:
        """What it says, while it is not processed; it is not kept longer."""
        return as_it_came(update.body)
