"""The ways in from outside: the gateway's notifications, and the buyer who comes back from paying."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language_from_request
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from payments import webhooks
from payments.models import Payment, PaymentStatus
from payments.return_addresses import is_genuine
from payments.standing import ask_standing
from qwenedit.addresses import request_address
from qwenedit.errors import DomainError

REFRESH_SECONDS = 5


@csrf_exempt
@require_POST
def yookassa_notification(request: HttpRequest) -> HttpResponse:
    """Take a notification: 200 once it is kept, 403 for other senders, 413 for what is too large."""
    try:
        webhooks.receive(request.read(webhooks.LARGEST_BODY + 1), request_address(request))
    except DomainError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    return HttpResponse(status=200)


@require_safe
@never_cache
def payment_return(request: HttpRequest, payment_id: int) -> HttpResponse:
    """Tell a buyer where their payment stands. Shows the status and the points, and nothing of the buyer."""
    if not is_genuine(payment_id, request.GET.get("signature", "")):
        raise Http404
    payment = Payment.objects.filter(pk=payment_id).first()
    if payment is None:
        raise Http404
    payment, is_answered = ask_standing(payment)
    if payment.status == PaymentStatus.PENDING:
        standing = "pending" if is_answered else "checking"
    else:
        standing = "succeeded" if payment.status == PaymentStatus.SUCCEEDED else "failed"
    context = {
        "standing": standing,
        "points": payment.points,
        "refresh": REFRESH_SECONDS if payment.status == PaymentStatus.PENDING else 0,
        "is_russian": get_language_from_request(request) == "ru",
    }
    answer = render(request, "payments/return.html", context)
    answer["Referrer-Policy"] = "no-referrer"
    answer["Vary"] = "Accept-Language"
    return answer
