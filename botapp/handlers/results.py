"""The buttons below a result: again, further, another style, the file; and what its owner thinks of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from telegram import Message
from telegram.error import BadRequest, TelegramError

from botapp import keyboards
from botapp.conversation.drafts import WORDS_STEP, Draft, wish_of
from botapp.handlers import drafting
from botapp.handlers.own_orders import own_order
from botapp.keyboards import button
from botapp.models import JobMark, Order
from botapp.orders import inputs, placing, reasons, result_media, wording
from botapp.turn import Turn, is_unchanged
from jobs.models import Job
from jobs.states import JobStatus
from payments.ledger import InsufficientPoints
from qwenedit import bot_api
from qwenedit.errors import DomainError

DOUBLE_PRESS = timedelta(seconds=5)  # a second press within it was meant as the first


def again(turn: Turn) -> None:
    """Order the same once more, with a new seed, for its price."""
    order = own_order(turn)
    if order is None:
        return
    texts = turn.texts
    name = f"again:{order.pk}:"
    key = f"{name}{turn.update.update_id}"
    recent = Order.objects.filter(
        chat=turn.chat, key__startswith=name, created_at__gt=timezone.now() - DOUBLE_PRESS
    )
    if recent.exclude(key=key).exists():
        turn.acknowledge(texts("results.already"))
        return
    if not inputs.are_there(order.photos, owner=turn.user):
        _say_purged(turn, order)
        return
    try:
        made = placing.place_order(
            chat=turn.chat,
            key=key,
            photos=order.photos,
            preset=order.preset,
            prompt=order.prompt,
            left_out=order.left_out,
        )
    except InsufficientPoints as error:
        topup = keyboards.rows([button(texts("edit.topup"), "topup")])
        turn.acknowledge()
        turn.say(reasons.of_error(texts, error), topup)
        return
    except DomainError as error:
        turn.acknowledge(reasons.of_error(texts, error), alert=True)
        return
    price = wish_of(order.preset, order.prompt).price
    turn.acknowledge(texts("results.charging", **reasons.points(texts, price=price)))
    placing.announce(made)


def further(turn: Turn) -> None:
    """Let the result be edited in its turn."""
    found = _own_result(turn)
    if found is None:
        return
    order, job = found
    image = result_media.result_of(job)
    if image is None:
        _say_purged(turn, order)
        return
    turn.acknowledge()
    Draft(photos=({"image": image.pk},)).keep(turn, step=WORDS_STEP)
    drop = button(turn.texts("edit.drop"), "drop")
    turn.say(turn.texts("results.ask_further"), keyboards.rows(*drafting.shelf_rows(turn.texts), [drop]))


def another_style(turn: Turn) -> None:
    """Offer the menu for the photos that the result was made of."""
    order = own_order(turn)
    if order is None:
        return
    if not inputs.are_there(order.photos, owner=turn.user):
        _say_purged(turn, order)
        return
    turn.acknowledge()
    drafting.proceed(turn, Draft(photos=tuple(order.photos), left_out=order.left_out), say=turn.say)


def original_file(turn: Turn) -> None:
    """Send the result uncompressed, as the model made it."""
    found = _own_result(turn)
    if found is None:
        return
    order, job = found
    turn.acknowledge()
    image = result_media.result_of(job)
    name = result_media.file_name(job)

    def upload() -> Message | None:
        data = result_media.read(image) if image else None
        return result_media.send_file(order, data, name) if data else None

    known = order.document_file_id
    _send(turn, order, known, lambda: result_media.send_file(order, known, name), upload)


def show(turn: Turn) -> None:
    """Send the result once more, without a new edit."""
    found = _own_result(turn)
    if found is None:
        return
    order, job = found
    turn.acknowledge()
    image = result_media.result_of(job)
    content = wording.result(turn.texts, order, job, balance=turn.balance)

    def upload() -> Message | None:
        data = result_media.read(image) if image else None
        if image is not None and data is not None:
            return result_media.send(order, image, data, content)
        document = order.document_file_id
        return (
            result_media.send_file(order, document, result_media.file_name(job), content)
            if document
            else None
        )

    known = order.photo_file_id
    _send(turn, order, known, lambda: result_media.send_photo(order, known, content), upload)


def favourite(turn: Turn) -> None:
    """Keep the result among the favourites, or not any more: the button says which."""
    is_wanted = _is_wanted(turn)
    answer = turn.texts("results.saved" if is_wanted else "results.unsaved")
    _mark(turn, answer, is_favourite=is_wanted)


def thumb_up(turn: Turn) -> None:
    """Say that the result is good, or take that back."""
    is_wanted = _is_wanted(turn)
    rating = JobMark.Rating.GOOD if is_wanted else None
    answer = turn.texts("results.liked" if is_wanted else "results.unmarked")
    _mark(turn, answer, rating=rating)


def thumb_down(turn: Turn) -> None:
    """Say that the result is bad, or take that back."""
    is_wanted = _is_wanted(turn)
    rating = JobMark.Rating.BAD if is_wanted else None
    answer = turn.texts("results.disliked" if is_wanted else "results.unmarked")
    _mark(turn, answer, rating=rating)


def _is_wanted(turn: Turn) -> bool:
    """Tell what a press makes of a mark; the button carries it, so that a repeated press undoes nothing."""
    return turn.argument.partition(":")[2] != "0"


def _mark(turn: Turn, answer: str, **fields: object) -> None:
    found = _own_result(turn)
    if found is None:
        return
    order, job = found
    mark, _ = JobMark.objects.update_or_create(job=job, defaults=fields)
    turn.acknowledge(answer)
    message = turn.message
    if message is None:
        return
    keyboard = wording.result_keyboard(turn.texts, order, mark)
    try:
        bot_api.call(
            lambda bot: bot.edit_message_reply_markup(
                chat_id=turn.chat.pk, message_id=message.message_id, reply_markup=keyboard
            )
        )
    except BadRequest as error:
        if not is_unchanged(error):
            raise


def _own_result(turn: Turn) -> tuple[Order, Job] | None:
    """Return the order of a button and its finished job; else say what is the matter."""
    order = own_order(turn)
    if order is None:
        return None
    if order.job is None or order.job.status != JobStatus.SUCCEEDED:
        turn.acknowledge(turn.texts("results.no_result"))
        return None
    return order, order.job


def _send(
    turn: Turn,
    order: Order,
    known: str,
    by_name: Callable[[], Message],
    upload: Callable[[], Message | None],
) -> None:
    """Send a result by its name at Telegram, or its bytes. What may have arrived is not repeated."""
    try:
        message = _by_name_or_bytes(known, by_name, upload)
    except TelegramError as error:
        if bot_api.happened_not(error):
            raise
        turn.say(turn.texts("results.unsure_file"))
        return
    if message is None:
        _say_purged(turn, order)
        return
    Order.objects.filter(pk=order.pk).update(**result_media.file_ids(message))


def _by_name_or_bytes(
    known: str, by_name: Callable[[], Message], upload: Callable[[], Message | None]
) -> Message | None:
    if known:
        try:
            return by_name()
        except BadRequest:
            pass  # a name that Telegram does not know any more
    return upload()


def _say_purged(turn: Turn, order: Order) -> None:
    turn.acknowledge()
    erased_at = turn.user.erased_at
    if erased_at is not None and order.created_at <= erased_at:
        turn.say(turn.texts("results.erased"))
    else:
        turn.say(turn.texts("results.purged", count=settings.RESULT_RETENTION_DAYS))
