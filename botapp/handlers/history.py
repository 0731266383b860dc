"""What was: edits and favourites, to look at once more without paying again; and where the points went."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from botapp import keyboards
from botapp.handlers.profile import way_back
from botapp.keyboards import button
from botapp.models import Order
from botapp.paging import page_of
from botapp.texts import SafeText, Texts
from botapp.turn import Turn
from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.amounts import for_people
from payments.models import LedgerEntry, Payment, Refund

EDITS_A_PAGE = 8
ENTRIES_A_PAGE = 10
LONGEST_TITLE = 40
CAUSE = re.compile(r"(?P<kind>job|payment|refund):(?P<number>\d{1,18})(?::|\Z)")
Cause = tuple[str, int]


def edits(turn: Turn) -> None:
    """List the edits whose results can be shown again."""
    _list(turn, _results(turn), "edits", turn.texts("history.edits"), turn.texts("history.no_edits"))


def favourites(turn: Turn) -> None:
    """List the results that the person marked as favourites."""
    marked = _results(turn).filter(job__mark__is_favourite=True)
    _list(turn, marked, "favs", turn.texts("history.favourites"), turn.texts("history.no_favourites"))


def payments(turn: Turn) -> None:
    """List where points came from and where they went."""
    texts = turn.texts
    entries = LedgerEntry.objects.filter(user=turn.user).order_by("-id")
    page = page_of(entries, turn.argument, ENTRIES_A_PAGE)
    details = _details(texts, page.rows)
    lines = "\n".join(_line(texts, entry, details) for entry in page.rows)
    balance = texts("menu.points", count=turn.balance)
    turn.show(
        f"{texts('history.money', balance=balance)}\n\n{lines}",
        keyboards.rows(page.turners("moneylog"), way_back(texts)),
    )


def _results(turn: Turn) -> QuerySet[Order]:
    stored = JobImage.objects.filter(job=OuterRef("job"), role=JobImage.Role.RESULT)
    can_be_shown = ~Q(photo_file_id="") | ~Q(document_file_id="") | Exists(stored)
    orders = Order.objects.filter(can_be_shown, chat=turn.chat, job__status=JobStatus.SUCCEEDED)
    return orders.select_related("preset", "job").order_by("-id")


def _list(turn: Turn, orders: QuerySet[Order], name: str, head: SafeText, nothing: SafeText) -> None:
    page = page_of(orders, turn.argument, EDITS_A_PAGE)
    shown = [[button(_label(turn.texts, order), "show", order.pk)] for order in page.rows]
    turn.show(head if shown else nothing, keyboards.rows(*shown, page.turners(name), way_back(turn.texts)))


def _label(texts: Texts, order: Order) -> str:
    """Return what a button calls an edit: the day, and the preset or the first of the words. Plain text."""
    title = texts.title(order.preset) if order.preset else " ".join(order.prompt.split())
    if len(title) > LONGEST_TITLE:
        title = f"{title[: LONGEST_TITLE - 1]}…"
    return f"{timezone.localtime(order.created_at):%d.%m} · {title}"


def _line(texts: Texts, entry: LedgerEntry, details: Mapping[Cause, str]) -> str:
    day = f"{timezone.localtime(entry.created_at):%d.%m.%Y}"
    amount = f"{entry.amount:+d}".replace("-", "−")
    is_returned = entry.kind == LedgerEntry.Kind.PAYMENT_REFUND and entry.amount > 0
    what = texts("history.refund_undone") if is_returned else texts(f"history.kind_{entry.kind}")
    cause = _cause(entry)
    more = texts("history.detail", detail=details[cause]) if cause and cause in details else ""
    return f"{day}  <b>{amount}</b>  {what}{more}"


def _details(texts: Texts, entries: Iterable[LedgerEntry]) -> Mapping[Cause, str]:
    """Return what can be said of the causes of entries: the preset of an edit, the sum of a payment."""
    numbers: dict[str, list[int]] = {"job": [], "payment": [], "refund": []}
    for kind, number in filter(None, map(_cause, entries)):
        numbers[kind].append(number)
    details: dict[Cause, str] = {}
    for job in Job.objects.filter(pk__in=numbers["job"]).select_related("preset"):
        details["job", job.pk] = texts.title(job.preset) if job.preset else texts("history.own_words")
    for payment in Payment.objects.filter(pk__in=numbers["payment"]):
        details["payment", payment.pk] = for_people(payment.amount, payment.currency)
    for refund in Refund.objects.filter(pk__in=numbers["refund"]).select_related("payment"):
        details["refund", refund.pk] = for_people(refund.amount, refund.payment.currency)
    return details


def _cause(entry: LedgerEntry) -> Cause | None:
    found = CAUSE.match(entry.key)
    return (found["kind"], int(found["number"])) if found else None
