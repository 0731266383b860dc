"""Which gateway serves a payment, built from the settings; without keys the sandbox serves.

A gateway that is switched off is still found here: payments that were made with it must be asked for. Whether
a new one may be started is the service's question.
"""

import os
from functools import cache

from django.conf import settings

from payments.gateways.base import Gateway, StartingGateway
from payments.gateways.stars import StarsGateway
from payments.gateways.yookassa import API_URL, YooKassaGateway

# The shop that the stand-in serves unless told otherwise.
SANDBOX_SHOP_ID = "sandbox"
SANDBOX_SECRET_KEY = "sandbox"  # noqa: S105 - the password of a stand-in
_stars = StarsGateway()


def gateway_for(name: str) -> Gateway:
    """Return the gateway of that name. Raises LookupError for an unknown one."""
    if name == StarsGateway.name:
        return _stars
    if name == YooKassaGateway.name:
        return yookassa()
    raise LookupError(f"there is no gateway {name!r}")


def starting_gateway(name: str) -> StartingGateway:
    """Return the gateway of that name that begins payments. Raises LookupError where there is none."""
    if name == YooKassaGateway.name:
        return yookassa()
    raise LookupError(f"{name!r} begins no payments")


def yookassa() -> YooKassaGateway:
    """Return the gateway to the shop of the settings, one for all threads of the process."""
    if has_keys():
        return _yookassa(settings.YOOKASSA_SHOP_ID, settings.YOOKASSA_SECRET_KEY, settings.YOOKASSA_API_URL)
    # Without keys the real API would refuse everything: any other address is that of a stand-in, ours or not.
    is_named = settings.YOOKASSA_API_URL != API_URL
    url = settings.YOOKASSA_API_URL if is_named else f"{settings.SANDBOX_YOOKASSA_URL}/v3"
    return _yookassa(SANDBOX_SHOP_ID, SANDBOX_SECRET_KEY, url)


def yookassa_shop_id() -> str:
    """Return the shop that payments through YooKassa must belong to."""
    return yookassa().shop_id


def has_keys() -> bool:
    """Tell whether the settings name a real shop: its id or its key, of which one alone is a mistake."""
    return bool(settings.YOOKASSA_SHOP_ID or settings.YOOKASSA_SECRET_KEY)


def is_sandbox() -> bool:
    """Tell whether a stand-in serves: no keys are set."""
    return not has_keys()


@cache
def _yookassa(shop_id: str, secret_key: str, api_url: str) -> YooKassaGateway:
    return YooKassaGateway(shop_id=shop_id, secret_key=secret_key, api_url=api_url)


# A connection that two processes share hands one of them the other's answer.
os.register_at_fork(after_in_child=_yookassa.cache_clear)
