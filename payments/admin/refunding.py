"""The form that gives money back: how much, why, and what it takes from the user."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from payments import refunds
from payments.admin.parts import money, units
from payments.models import Payment, Refund, RefundStatus
from payments.refunds import RefundRefused, refundable_amount
from qwenedit.admin import CheckboxInput, NumberInput, OnceForm, TextInput
from qwenedit.users.models import User

if TYPE_CHECKING:
    from payments.admin.payments import PaymentAdmin


class RefundForm(OnceForm):
    """How much of a payment to give back, and why. Once per form."""

    amount = forms.DecimalField(
        label=_("Amount"), min_value=Decimal("0.01"), max_digits=14, widget=NumberInput
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        widget=TextInput,
        help_text=_("Kept with the refund. The user and the gateway see it too."),
    )
    force = forms.BooleanField(
        label=_("Although points are spent"),
        required=False,
        widget=CheckboxInput,
        help_text=_("Takes the points that are there, and gives the money back all the same."),
    )

    def __init__(self, data: Any, *, payment: Payment, may_force: bool) -> None:
        left = refundable_amount(payment)
        self.units = units(payment.currency)
        places = 2 if self.units > 1 else 0
        super().__init__(data, initial={"amount": f"{Decimal(left) / self.units:.{places}f}"})
        if payment.gateway == Payment.Gateway.STARS:
            self.fields["amount"].help_text = _("Stars can only be given back in full.")
            self.fields["amount"].widget.attrs["readonly"] = True
        if not may_force:
            del self.fields["force"]

    def clean_amount(self) -> int:
        """Return the amount in the currency's smallest unit."""
        amount: Decimal = self.cleaned_data["amount"] * self.units
        if amount != amount.to_integral_value():
            raise forms.ValidationError(_("There is nothing smaller than a kopek."))
        return int(amount)


def refund_page(payments: PaymentAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Ask how much of a payment to give back; give it back, and tell what came of it."""
    if not payments.has_refund_permission(request):
        raise PermissionDenied
    payment: Payment = payments.only(request, object_id).select_related("user").get()
    page = HttpResponseRedirect(reverse("admin:payments_payment_change", args=[payment.pk]))
    may_force = request.user.has_perm("payments.force_refund")
    form = RefundForm(request.POST or None, payment=payment, may_force=may_force)
    if "preview" in request.POST:
        form.errors.pop("reason", None)  # to look, one needs no reason yet
    elif form.is_valid():
        is_repeated = Refund.objects.filter(form_token=form.cleaned_data["form_token"]).exists()
        try:
            refund = refunds.request_refund(
                payment=payment,
                amount=form.cleaned_data["amount"],
                reason=form.cleaned_data["reason"],
                staff=_staff(request),
                form_token=form.cleaned_data["form_token"],
                force=form.cleaned_data.get("force", False),
            )
        except (RefundRefused, LookupError) as error:
            form.add_error(None, str(error))
        else:
            if (refund.payment_id, refund.amount) != (payment.pk, form.cleaned_data["amount"]):
                text = _("This form was sent before, for %(refund)s of %(sum)s. Open a new one.")
                told = {"refund": refund, "sum": money(refund.amount, refund.payment.currency)}
                payments.tell(request, text % told, ok=False)
                return page
            if not is_repeated:
                payments.record(request, [payment], f"Asked for refund {refund.pk}: {refund.reason}")
            _tell(payments, request, refund)
            return page
    elif not form.is_bound and refundable_amount(payment) == 0:
        payments.tell(request, _("Nothing of this payment is left to give back."), ok=False)
        return page
    amount = getattr(form, "cleaned_data", {}).get("amount") or refundable_amount(payment)
    return payments.ask(
        request,
        form,
        question=_("Give money of %s back?") % payment,
        button=_("Refund"),
        preview=_("Show the points"),
        back=page.url,
        facts=_facts(payment, amount),
    )


def _facts(payment: Payment, amount: int) -> list[tuple[Any, Any]]:
    left = refundable_amount(payment)
    facts: list[tuple[Any, Any]] = [
        (_("User"), payment.user),
        (_("Paid"), money(payment.amount, payment.currency)),
        (_("Can be given back"), money(left, payment.currency)),
        (_("Balance of the user, points"), payment.user.balance),
    ]
    if 0 < amount <= left:
        label = _("Points taken for %s") % money(amount, payment.currency)
        facts.append((label, refunds.points_to_take(payment, amount)))
    return facts


def _tell(payments: PaymentAdmin, request: HttpRequest, refund: Refund) -> None:
    """Say how the refund is, not how one would like it to be."""
    payment = refund.payment
    told = {
        "sum": money(refund.amount, payment.currency),
        "points": refund.points,
        "why": refund.failure,
        "balance": User.objects.values_list("balance", flat=True).get(pk=payment.user_id),
    }
    match refund.status:
        case RefundStatus.SUCCEEDED:
            text = _("%(sum)s given back; %(points)d points taken, the balance is %(balance)d.")
        case RefundStatus.PENDING:
            text = _(
                "Nobody knows yet: the gateway has not said how the refund of %(sum)s is. It stays pending, "
                "with %(points)d points held, and is asked for until the gateway says."
            )
        case _:
            text = _(
                "Not given back: the gateway refused the refund of %(sum)s (%(why)s). "
                "%(points)d points were returned, the balance is %(balance)d."
            )
    payments.tell(request, text % told, ok=refund.status == RefundStatus.SUCCEEDED)


def _staff(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
