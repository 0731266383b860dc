"""People's own words: asked for, or typed whenever they like."""

from __future__ import annotations

from dataclasses import replace

from botapp.conversation import incoming_photos, words
from botapp.conversation.drafts import Draft
from botapp.conversation.incoming_photos import Photo
from botapp.handlers import drafting, menu
from botapp.models import Order
from botapp.orders import reasons, result_media
from botapp.turn import Turn
from qwenedit.errors import DomainError


def ask(turn: Turn) -> None:
    """Ask for words of their own."""
    drafting.ask_words(turn, Draft.of(turn.chat))


def typed(turn: Turn) -> None:
    """Take a text as the wish for the photo: the one it replies to, the one that was sent, or one to come."""
    message = turn.message
    take(turn, (message.text if message else None) or "")


def take(turn: Turn, text: str, *, may_be_talk: bool = True) -> None:
    """Take words as the wish, unless they may be small talk and are."""
    draft = Draft.of(turn.chat)
    replied_to = _replied_photo(turn)
    if replied_to is not None:
        draft = replace(draft, photos=(replied_to,), left_out=0)
    if may_be_talk and not draft.photos and words.is_small_talk(text):
        menu.main(turn)
        return
    try:
        wish = words.read(text)
    except DomainError as error:
        turn.say(reasons.of_error(turn.texts, error))
        return
    drafting.proceed(turn, draft.with_words(wish))


def _replied_photo(turn: Turn) -> Photo | None:
    """Return the photo that a text is a reply to: somebody's own, or a result of ours."""
    replied = turn.message.reply_to_message if turn.message else None
    if replied is None:
        return None
    order = Order.objects.filter(chat=turn.chat, message_id=replied.message_id).select_related("job").first()
    if order is not None and order.job is not None:
        image = result_media.result_of(order.job)
        return {"image": image.pk} if image else None
    if not incoming_photos.has_photo(replied):
        return None
    try:
        return incoming_photos.photo_of(replied)
    except DomainError:
        return None
