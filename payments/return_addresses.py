"""Addresses of the page that a buyer comes back to. They are signed: a payment's number is guessable."""

from django.core.signing import Signer
from django.utils.crypto import constant_time_compare

SALT = "payments.return"


def return_url(site: str) -> str:
    """Return the pattern of the page's address under `site`, which `services.start_payment` fills in."""
    return f"{site}/payments/{{payment_id}}/return/?signature={{signature}}"


def signature_of(payment_id: int) -> str:
    """Return what proves that an address of the page was made here."""
    return Signer(salt=SALT).signature(str(payment_id))


def is_genuine(payment_id: int, signature: str) -> bool:
    """Tell whether the signature is the payment's."""
    return constant_time_compare(signature, signature_of(payment_id))
