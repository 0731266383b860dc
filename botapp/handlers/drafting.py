"""From what somebody has sent and chosen to the next thing to ask, or to an order.

Every way in (a photo, words, a preset, a result that goes on) ends here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.conf import settings
from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from botapp import keyboards
from botapp.conversation import words
from botapp.conversation.drafts import WORDS_STEP, Draft, wish_of
from botapp.conversation.incoming_photos import Photo
from botapp.conversation.shelves import Shelves
from botapp.keyboards import button
from botapp.models import Chat
from botapp.orders import placing, reasons, wording
from botapp.texts import SafeText, Texts
from botapp.turn import Turn
from jobs.models import Preset
from payments.ledger import InsufficientPoints
from qwenedit.errors import DomainError

Say = Callable[[str, InlineKeyboardMarkup | None], object]


def photos_arrived(turn: Turn, photos: list[Photo], caption: str, *, key: str, unusable: int = 0) -> None:
    """Take photos: with words they are ordered at once, else they fill what was chosen, or offer the menu.

    While a preset asks for photos, words beside one of them are no order: they may say what it shows.
    """
    draft = Draft.of(turn.chat)
    preset = draft.preset()
    is_asked = preset is not None and len(draft.photos) < preset.photos
    if caption.strip() and not is_asked:
        _by_caption(turn, Draft().with_photos(photos, left_out=unusable), caption, key=key)
        return
    if preset is not None:
        if preset.photos == 1:
            draft = draft.with_caption(caption)
        there = draft.photos if len(draft.photos) < preset.photos else ()
        draft = draft.with_photos([*there, *photos], most=preset.photos, left_out=unusable)
    elif turn.chat.step == WORDS_STEP:
        draft = draft.with_photos([*draft.photos, *photos], left_out=unusable)
        _ask_words(turn, draft)
        return
    else:
        draft = draft.with_photos(photos, left_out=unusable)
    proceed(turn, draft)


def proceed(turn: Turn, draft: Draft, *, say: Say | None = None) -> None:
    """Ask for what the draft lacks, or let it be confirmed; `say` is how: as a rule in the menu's place."""
    say = say or turn.show
    preset = draft.preset()
    if preset is not None:
        if len(draft.photos) < preset.photos:
            draft.keep(turn)
            say(*_ask_photo(turn.texts, draft, preset))
            return
        confirm(turn, draft, say=say)
    elif draft.prompt and draft.photos:
        confirm(turn, draft, say=say)
    elif draft.prompt:
        draft.keep(turn)
        say(turn.texts("edit.send_photo_for", wish=_wish(turn.texts, draft, None)), _drop(turn.texts))
    else:
        draft.keep(turn)
        say(*photo_menu(turn, draft))


def confirm(turn: Turn, draft: Draft, *, say: Say | None = None) -> None:
    """Show what would be done and what it costs; a press makes it an order."""
    texts, preset = turn.texts, draft.preset()
    draft = draft.named().keep(turn)
    price, balance = wish_of(preset, draft.prompt).price, turn.balance
    what = _wish(texts, draft, preset)
    go = button(texts("edit.go"), "go", draft.ident, style="success")
    drop = button(texts("edit.drop"), "drop", draft.ident)
    by_words = [button(texts("edit.by_words"), "words", draft.ident)] if preset and draft.prompt else []
    if balance >= price:
        amounts = reasons.points(texts, price=price, balance=balance)
        text = texts("edit.confirm", wish=what, after=balance - price, **amounts)
        keyboard = keyboards.rows([go, drop], by_words)
    else:
        amounts = reasons.points(texts, price=price, balance=balance, missing=price - balance)
        text = texts("edit.missing", wish=what, **amounts)
        keyboard = keyboards.rows([button(texts("edit.topup"), "topup")], [go, drop], by_words)
    (say or turn.show)(text, keyboard)


def order(turn: Turn, draft: Draft, *, key: str) -> None:
    """Order a complete draft at once; where the points do not suffice, show what is missing."""
    preset = draft.preset()
    photos, left_out = draft.taken(preset)
    try:
        made = placing.place_order(
            chat=turn.chat, key=key, photos=photos, preset=preset, prompt=draft.prompt, left_out=left_out
        )
    except InsufficientPoints:
        confirm(turn, draft)
        return
    turn.forget()
    placing.announce(made)


def photo_menu(turn: Turn, draft: Draft) -> tuple[SafeText, InlineKeyboardMarkup]:
    """Return what can be done with the photos."""
    texts = turn.texts
    if len(draft.photos) > 1:
        said = texts("edit.photos_menu", count=len(draft.photos))
    else:
        said = texts("edit.photo_menu")
    if draft.left_out:
        total = len(draft.photos) + draft.left_out
        said = SafeText(f"{said}\n{texts('edit.left_out', taken=len(draft.photos), total=total)}")
    another = button(texts("edit.another_photo"), "redo")
    drop = button(texts("edit.drop"), "drop")
    return SafeText(f"{said}\n\n{prices(turn)}"), keyboards.rows(*shelf_rows(texts), [another, drop])


def resume_row(texts: Texts, chat: Chat) -> list[InlineKeyboardButton]:
    """Return the button that leads back to an edit which waited for points; nothing where none does."""
    return [button(texts("edit.resume"), "resume")] if Draft.of(chat).is_complete else []


def shelf_rows(texts: Texts) -> list[list[InlineKeyboardButton]]:
    """Return the outermost shelves as buttons, and own words."""
    shelves = [button(texts.title(shelf), "cat", shelf.pk) for shelf in Shelves().inside(None)]
    return [*keyboards.grid(shelves), [button(texts("menu.own_prompt"), "own")]]


def prices(turn: Turn) -> SafeText:
    """Say what an edit usually costs, and what there is to pay with."""
    amounts = reasons.points(turn.texts, price=settings.EDIT_COST, balance=turn.balance)
    return turn.texts("edit.prices", **amounts)


def ask_words(turn: Turn, draft: Draft, *, say: Say | None = None) -> None:
    """Ask for words of their own, and for photos if there are none."""
    draft = replace(draft, preset_id=None, prompt="").keep(turn, step=WORDS_STEP)
    key = "edit.ask_words" if draft.photos else "edit.ask_words_and_photo"
    (say or turn.show)(turn.texts(key), _drop(turn.texts))


def _ask_words(turn: Turn, draft: Draft) -> None:
    """Ask for the words that photos still lack; more photos may join them."""
    draft = draft.keep(turn, step=WORDS_STEP)
    texts, count = turn.texts, len(draft.photos)
    said = texts("edit.ask_words_for_photos", count=count) if count > 1 else texts("edit.ask_words_for_photo")
    if draft.left_out:
        said = SafeText(f"{said}\n{texts('edit.left_out', taken=count, total=count + draft.left_out)}")
    turn.say(said, _drop(texts))


def _by_caption(turn: Turn, draft: Draft, caption: str, *, key: str) -> None:
    try:
        draft = draft.with_words(words.read(caption))
    except DomainError as error:
        draft.keep(turn)
        reason = reasons.of_error(turn.texts, error)
        turn.say(SafeText(f"{reason}\n\n{turn.texts('edit.photo_kept')}"), photo_menu(turn, draft)[1])
        return
    order(turn, draft, key=key)


def _ask_photo(texts: Texts, draft: Draft, preset: Preset) -> tuple[SafeText, InlineKeyboardMarkup]:
    what = _wish(texts, replace(draft, photos=()), preset)
    back = [button(texts("menu.back"), "cat", preset.category_id), button(texts("edit.drop"), "drop")]
    if preset.photos == 1:
        return texts("edit.send_photo_for", wish=what), keyboards.rows(back)
    titles = [photo_title(texts, preset, number) for number in range(1, preset.photos + 1)]
    count = len(draft.photos)
    lines = [
        texts("edit.photo_there" if place < count else "edit.photo_missing", title=title)
        for place, title in enumerate(titles)
    ]
    return (
        texts(
            "edit.send_named_photo",
            wish=what,
            list=SafeText("\n".join(lines)),
            number=count + 1,
            title=titles[count],
        ),
        keyboards.rows(back),
    )


def photo_title(texts: Texts, preset: Preset, number: int) -> str:
    """Return what a preset's photo should show."""
    if number <= len(preset.photo_titles):
        return str(preset.photo_titles[number - 1][texts.language])
    return texts("edit.photo_number", number=number)


def _wish(texts: Texts, draft: Draft, preset: Preset | None) -> SafeText:
    photos, left_out = draft.taken(preset)
    return wording.wish(texts, preset=preset, words=draft.prompt, photos=len(photos), left_out=left_out)


def _drop(texts: Texts) -> InlineKeyboardMarkup:
    return keyboards.rows([button(texts("edit.drop"), "drop")])
