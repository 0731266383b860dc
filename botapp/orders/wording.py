"""What the one message of an order says in every state, and the buttons below it.

    accepted ─▶ in the queue ─▶ 40 % ─▶ the picture, and what can be done with it
        └─▶ refused     └──────────┴─▶ failed, or cancelled: why, and where the points are

Makes words of rows; sends nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import ceil

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from botapp import keyboards
from botapp.keyboards import button
from botapp.models import JobMark, Order
from botapp.orders.reasons import of_code, of_error, points
from botapp.texts import SafeText, Texts
from jobs.estimates import Estimate
from jobs.models import Job, Preset
from jobs.states import JobStatus
from payments.ledger import InsufficientPoints
from qwenedit.errors import DomainError

SHOWN_WORDS = 200  # characters of somebody's own words
BAR_LENGTH = 10
STEP = 10  # seconds, or per cent: what changes less is not worth an edit
QUICK_TRIES = 1  # to fetch the photos; whoever waits for more is told
CHOSEN = " ✓"


@dataclass(frozen=True)
class Content:
    """What a message says, and its buttons."""

    text: SafeText
    keyboard: InlineKeyboardMarkup | None = None

    @property
    def digest(self) -> str:
        """A short name of all of it: an edit that would change nothing is not made."""
        buttons = self.keyboard.to_json() if self.keyboard else ""
        return hashlib.sha256(f"{self.text}\0{buttons}".encode()).hexdigest()


def wish(texts: Texts, *, preset: Preset | None, words: str, photos: int, left_out: int = 0) -> SafeText:
    """Say what is done to how many photos."""
    if preset is not None:
        said = texts("edit.wish_preset", title=texts.title(preset))
    elif not words:  # their owner has deleted them
        said = texts("menu.own_prompt")
    else:
        shown = words if len(words) <= SHOWN_WORDS else words[: SHOWN_WORDS - 1].rstrip() + "…"
        said = texts("edit.wish_words", words=shown)
    if photos > 1:
        said = SafeText(f"{said}\n{texts('edit.wish_photos', count=photos)}")
    if left_out:
        said = SafeText(f"{said}\n{texts('edit.left_out', taken=photos, total=photos + left_out)}")
    return said


def wish_of(texts: Texts, order: Order) -> SafeText:
    """Say what an order is about."""
    return wish(
        texts, preset=order.preset, words=order.prompt, photos=len(order.photos), left_out=order.left_out
    )


def accepted(texts: Texts, order: Order) -> Content:
    """The first answer: the order is there, its photos are being fetched, perhaps not for the first time."""
    key = "edit.accepted" if order.tries <= QUICK_TRIES else "edit.accepted_late"
    return Content(texts(key, wish=wish_of(texts, order)), _stop(texts, order))


def working(texts: Texts, order: Order, job: Job, place: Estimate | None) -> Content:
    """The queue, or how far the edit is."""
    said = texts("edit.working", wish=wish_of(texts, order), news=_news(texts, job, place))
    charged = points(texts, price=job.price, balance=int(job.receipt.get("balance") or 0))
    paid = texts("edit.charged", **charged)
    return Content(SafeText(f"{said}\n\n{paid}"), _stop(texts, order))


def refused(texts: Texts, order: Order, error: DomainError) -> Content:
    """Nothing was made and nothing charged, and why."""
    said = texts("edit.refused", wish=wish_of(texts, order), reason=of_error(texts, error))
    topup = [button(texts("edit.topup"), "topup")] if isinstance(error, InsufficientPoints) else []
    again = [_again(texts, order)] if topup or error.retryable else []
    return Content(said, keyboards.rows(topup, again, _menu(texts)))


def dropped(texts: Texts, order: Order) -> Content:
    """Cancelled before anything was charged."""
    return Content(
        texts("edit.cancelled_free", wish=wish_of(texts, order)),
        keyboards.rows([_again(texts, order)], _menu(texts)),
    )


def ended(texts: Texts, order: Order, job: Job, *, is_refunded: bool) -> Content:
    """Failed or cancelled: why, and that the points are back, where they are."""
    if job.status == JobStatus.CANCELLED:
        said = texts("edit.cancelled", wish=wish_of(texts, order))
    else:
        said = texts("edit.failed", wish=wish_of(texts, order), reason=of_code(texts, job.error_code))
    if is_refunded and job.price:
        said = SafeText(f"{said}\n\n{texts('edit.points_back', **points(texts, price=job.price))}")
    return Content(said, keyboards.rows([_again(texts, order)], _menu(texts)))


def result(texts: Texts, order: Order, job: Job, *, balance: int) -> Content:
    """What stands below the finished picture."""
    caption = texts(
        "results.caption",
        wish=wish_of(texts, order),
        **points(texts, price=job.price, balance=balance),
    )
    return Content(caption, result_keyboard(texts, order, JobMark.objects.filter(job=job).first()))


def lost_from_sight(texts: Texts, order: Order) -> Content:
    """The picture was sent, perhaps: nobody is sent it twice unasked."""
    return Content(texts("results.unsure"), keyboards.rows([button(texts("results.show"), "show", order.pk)]))


def purged(texts: Texts, order: Order) -> Content:
    """The edit was made, but its picture is no longer kept."""
    said = texts("results.purged_edit", wish=wish_of(texts, order))
    return Content(said, keyboards.rows([_again(texts, order)], _menu(texts)))


def result_keyboard(texts: Texts, order: Order, mark: JobMark | None) -> InlineKeyboardMarkup:
    """Return what can be done with a result. Marks carry what a press makes of them: twice is once."""
    rating = mark.rating if mark else None
    is_favourite = bool(mark and mark.is_favourite)
    good, bad = JobMark.Rating.GOOD, JobMark.Rating.BAD
    return keyboards.rows(
        [
            button(texts("results.again"), "again", order.pk),
            button(texts("results.further"), "further", order.pk),
        ],
        [
            button(texts("results.another_style"), "style", order.pk),
            button(texts("results.file"), "file", order.pk),
        ],
        [
            _mark("⭐", "fav", order, is_chosen=is_favourite),
            _mark("👍", "up", order, is_chosen=rating == good),
            _mark("👎", "down", order, is_chosen=rating == bad),
        ],
    )


def _mark(label: str, name: str, order: Order, *, is_chosen: bool) -> InlineKeyboardButton:
    return button(label + CHOSEN if is_chosen else label, name, order.pk, int(not is_chosen))


def _news(texts: Texts, job: Job, place: Estimate | None) -> SafeText:
    if job.status == JobStatus.RUNNING:
        percent = min(99, job.progress - job.progress % (STEP // 2))
        return texts("edit.running", bar=_bar(percent), percent=percent)
    if job.waiting_for_gpu:
        return texts("edit.waiting_for_gpu")
    if job.failures:
        return texts("edit.tried_again")
    if place is None:
        return texts("edit.soon")
    return texts("edit.queued", position=place.position, time=duration(texts, place.eta_seconds))


def duration(texts: Texts, seconds: int) -> SafeText:
    """Say about how long something takes: to ten seconds, above two minutes to the minute."""
    if seconds <= 120:
        return texts("edit.seconds", count=max(STEP, ceil(seconds / STEP) * STEP))
    return texts("edit.minutes", count=ceil(seconds / 60))


def _bar(percent: int) -> str:
    full = percent * BAR_LENGTH // 100
    return "▓" * full + "░" * (BAR_LENGTH - full)


def _stop(texts: Texts, order: Order) -> InlineKeyboardMarkup:
    return keyboards.rows([button(texts("edit.cancel"), "stop", order.pk)])


def _again(texts: Texts, order: Order) -> InlineKeyboardButton:
    return button(texts("edit.try_again"), "again", order.pk)


def _menu(texts: Texts) -> list[InlineKeyboardButton]:
    return [button(texts("menu.to_menu"), "menu")]
