"""Photos as they come: alone, with a caption, as a file, several as an album."""

from __future__ import annotations

import re

from django.conf import settings
from telegram import Message

from botapp import keyboards
from botapp.conversation import incoming_photos
from botapp.conversation.drafts import Draft
from botapp.conversation.incoming_photos import Photo
from botapp.handlers import drafting, prompts, unreadable
from botapp.models import AlbumPhoto
from botapp.orders import reasons
from botapp.turn import Turn
from botapp.wakeups import wake_album
from qwenedit.errors import DomainError
from qwenedit.lib.images import ImageTooLarge

PROBLEM = "problem"  # stands in the place of a part's file that can not be taken
EDIT = re.compile(r"/edit(?:@\w+)?(?:\s+|$)", re.IGNORECASE)


def received(turn: Turn) -> None:
    """Take a photo, or a picture sent as a file. A part of an album waits for the others."""
    message = turn.message
    if message is None:
        return
    try:
        photo = incoming_photos.photo_of(message)
    except DomainError as error:
        if message.media_group_id:
            _keep_part(turn, message, {PROBLEM: unreadable.answer_to(message) or error.code})
        else:
            turn.say(reasons.of_error(turn.texts, error), keyboards.rows(*drafting.shelf_rows(turn.texts)))
        return
    if message.media_group_id:
        _keep_part(turn, message, photo)
        return
    drafting.photos_arrived(turn, [photo], _caption(message), key=turn.key)


def album_arrived(turn: Turn, parts: list[Photo], caption: str, *, key: str) -> None:
    """Take the parts of an album together, in one answer."""
    photos = [part for part in parts if PROBLEM not in part]
    if photos:
        drafting.photos_arrived(turn, photos, caption, key=key, unusable=len(parts) - len(photos))
        return
    texts, problem = turn.texts, parts[0][PROBLEM]
    if problem == ImageTooLarge.code:
        reason = reasons.of_error(texts, ImageTooLarge(incoming_photos.most_bytes()))
    elif problem in unreadable.ANSWERS.values():
        reason = texts(f"unreadable.{problem}")
    else:
        reason = reasons.of_code(texts, problem)
    turn.say(reason, keyboards.rows(*drafting.shelf_rows(texts)))


def how_to_begin(turn: Turn) -> None:
    """Say how an edit begins; who has sent a photo is shown what can be done with it. Words are the wish."""
    if turn.argument:
        prompts.take(turn, turn.argument, may_be_talk=False)
        return
    draft = Draft.of(turn.chat)
    if draft.photos:
        drafting.proceed(turn, Draft(photos=draft.photos, left_out=draft.left_out))
        return
    amounts = reasons.points(turn.texts, price=settings.EDIT_COST, balance=turn.balance)
    turn.show(turn.texts("edit.how", **amounts), keyboards.rows(*drafting.shelf_rows(turn.texts)))


def resume(turn: Turn) -> None:
    """Go on with an edit that was left for a while, as for a top-up."""
    draft = Draft.of(turn.chat)
    if not draft.is_complete:
        turn.acknowledge(turn.texts("edit.outdated"), alert=True)
        return
    turn.acknowledge()
    drafting.proceed(turn, draft, say=turn.say)


def start_over(turn: Turn) -> None:
    """Drop the photo and wait for another; what was chosen is dropped too."""
    turn.forget()
    turn.show(turn.texts("edit.send_new_photo"))


def _keep_part(turn: Turn, message: Message, photo: Photo) -> None:
    """Keep a part of an album, once, and let it be answered when no more follow."""
    group = str(message.media_group_id)[:64]
    AlbumPhoto.objects.get_or_create(
        chat=turn.chat,
        message_id=message.message_id,
        defaults={"media_group_id": group, "photo": dict(photo), "caption": _caption(message)},
    )
    wake_album(turn.chat.pk, group)


def _caption(message: Message) -> str:
    """Return the words below a photo, without a command that says no more than the photo does."""
    caption = message.caption or ""
    command = EDIT.match(caption)
    return caption[command.end() :] if command else caption
