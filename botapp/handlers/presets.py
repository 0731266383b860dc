"""Walking through the presets, before or after a photo was sent."""

from __future__ import annotations

from contextlib import suppress

import structlog
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from telegram import InlineKeyboardButton
from telegram.constants import ParseMode
from telegram.error import BadRequest

from botapp import keyboards
from botapp.conversation.drafts import Draft
from botapp.conversation.shelves import Page, Shelves
from botapp.handlers import drafting
from botapp.keyboards import button
from botapp.orders import reasons
from botapp.texts import SafeText, Texts
from botapp.turn import Turn
from jobs.models import Category, Preset
from qwenedit import bot_api

logger = structlog.get_logger(__name__)

OWN_PROMPT = "own-prompt"  # the shelf without presets: people write there themselves
SAMPLE_KEPT = 7 * 24 * 3600  # seconds for which a sample's name at Telegram is remembered


def categories(turn: Turn) -> None:
    """Show the outermost shelves."""
    texts = turn.texts
    text = f"{texts('presets.root')}\n{_hint(turn)}\n\n{drafting.prices(turn)}"
    turn.show(
        SafeText(text),
        keyboards.rows(*drafting.shelf_rows(texts), [button(texts("menu.to_menu"), "menu")]),
    )


def category(turn: Turn) -> None:
    """Show a page of a shelf: `id` or `slug`, and the number of the page."""
    name, _, number = turn.argument.partition(":")
    shelves = Shelves()
    shelf = shelves.find(name)
    if shelf is None:
        if Category.objects.filter(pk=int(name) if name.isdecimal() else 0, slug=OWN_PROMPT).exists():
            drafting.ask_words(turn, Draft.of(turn.chat))
        else:
            categories(turn)
        return
    page = shelves.page(shelf, int(number) if number.isdecimal() else 1)
    path = " › ".join(turn.texts.title(row) for row in shelves.path(shelf))
    text = f"{turn.texts('presets.shelf', path=path)}\n{_hint(turn)}\n\n{_price(turn, page)}"
    turn.show(SafeText(text), keyboards.rows(*_rows(turn.texts, shelf, page)))


def chosen(turn: Turn) -> None:
    """Take a preset as the wish: for the photos that are there, or for those to come."""
    pk = int(turn.argument) if turn.argument.isdecimal() else 0
    preset = Preset.objects.on_offer().filter(pk=pk).first()
    if preset is None:
        turn.acknowledge(turn.texts("job_errors.preset_gone"), alert=True)
        return
    draft = Draft.of(turn.chat).with_preset(preset)
    if preset.sample_after and _show_sample(turn, preset):
        drafting.proceed(turn, draft, say=turn.say)  # below the sample
        return
    drafting.proceed(turn, draft)


def _rows(texts: Texts, shelf: Category, page: Page) -> list[list[InlineKeyboardButton]]:
    buttons = [button(texts.title(row), "cat", row.pk) for row in page.shelves]
    buttons += [button(_label(texts, preset), "preset", preset.pk) for preset in page.presets]
    turning = []
    if page.pages > 1:
        before, after = (page.number - 2) % page.pages + 1, page.number % page.pages + 1
        turning = [
            button("‹", "cat", shelf.pk, before),
            button(f"{page.number}/{page.pages}", "cat", shelf.pk, page.number),
            button("›", "cat", shelf.pk, after),
        ]
    back = button(texts("menu.back"), "cat", shelf.parent_id or "")
    return [*keyboards.grid(buttons), turning, [back, button(texts("menu.to_menu"), "menu")]]


def _label(texts: Texts, preset: Preset) -> str:
    """Return a preset's name, with its price where that is not the usual one."""
    title = texts.title(preset)
    return title if preset.cost == settings.EDIT_COST else f"{title} · {preset.cost}"


def _price(turn: Turn, page: Page) -> SafeText:
    costs = {preset.cost for preset in page.presets}
    if len(costs) != 1:
        return drafting.prices(turn)
    amounts = reasons.points(turn.texts, price=costs.pop(), balance=turn.balance)
    return turn.texts("presets.same_price", **amounts)


def _hint(turn: Turn) -> SafeText:
    has_photo = bool(Draft.of(turn.chat).photos)
    return turn.texts("presets.with_photo" if has_photo else "presets.without_photo")


def _show_sample(turn: Turn, preset: Preset) -> bool:
    """Show what a preset makes of a photo; return whether that went well."""
    turn.acknowledge()
    key = f"bot:sample:{preset.sample_after.name}"
    known = None
    with suppress(RedisError):
        known = cache.get(key)
    try:
        message = _send_sample(turn, preset, known)
    except (BadRequest, FileNotFoundError) as error:
        logger.warning("Sample not shown", preset=preset.slug, reason=str(error))
        with suppress(RedisError):
            cache.delete(key)
        return False
    with suppress(RedisError):
        cache.set(key, message, timeout=SAMPLE_KEPT)
    return True


def _send_sample(turn: Turn, preset: Preset, known: str | None) -> str:
    """Send a sample and return its name at Telegram."""
    photo: str | bytes | None = known
    if photo is None:
        with preset.sample_after.open("rb") as file:
            photo = bytes(file.read())
    caption = turn.texts("presets.sample", title=turn.texts.title(preset))
    message = bot_api.call(
        lambda bot: bot.send_photo(turn.chat.pk, photo, caption=caption, parse_mode=ParseMode.HTML)
    )
    return message.photo[-1].file_id
