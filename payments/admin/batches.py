"""The form that makes many random promo codes: once, however often it is sent."""

from __future__ import annotations

from django import forms
from django.core.cache import cache
from django.utils.translation import gettext_lazy as _

from payments import promo
from payments.models import PromoCode
from qwenedit.admin import MomentInput, NumberInput, OnceForm, TextInput

TOKEN_SECONDS = 24 * 3600


class BatchForm(OnceForm):
    """How many codes, and what each is worth."""

    batch = forms.CharField(
        label=_("Name of the batch"),
        max_length=60,
        widget=TextInput,
        help_text=_("A new one, to find it by."),
    )
    count = forms.IntegerField(
        label=_("Codes"), min_value=1, max_value=promo.LARGEST_BATCH, widget=NumberInput
    )
    points = forms.IntegerField(label=_("Points"), min_value=1, max_value=10**6, widget=NumberInput)
    max_uses = forms.IntegerField(
        label=_("Uses of each code"), min_value=1, max_value=10**6, initial=1, widget=NumberInput
    )
    uses_per_user = forms.IntegerField(
        label=_("Uses per user"), min_value=1, max_value=1000, initial=1, widget=NumberInput
    )
    expires_at = forms.DateTimeField(
        label=_("Expires"), required=False, widget=MomentInput, help_text=_("UTC. Empty: never.")
    )
    beginning = forms.CharField(
        label=_("Beginning"),
        max_length=promo.LONGEST_PREFIX,
        required=False,
        widget=TextInput,
        help_text=_("What every code begins with: letters, digits, - and _."),
    )

    def clean_batch(self) -> str:
        """Refuse the name of a batch that exists."""
        name: str = self.cleaned_data["batch"]
        if PromoCode.objects.filter(batch=name).exists():
            raise forms.ValidationError(_("There is a batch of this name already."))
        return name


def make_batch(form: BatchForm) -> bool:
    """Make the codes of a valid form and return True; or False, with an error added to the form."""
    told = dict(form.cleaned_data)
    key = f"promo-batch:{told.pop('form_token')}"
    # A second click comes before the first has committed its codes, when the name is still free.
    if not cache.add(key, 1, TOKEN_SECONDS):
        form.add_error(None, _("This form was sent before: look for the batch in the list."))
        return False
    try:
        promo.make_codes(prefix=told.pop("beginning"), **told)
    except promo.InvalidBatch as error:
        cache.delete(key)
        form.add_error(None, error.message)
        return False
    return True
