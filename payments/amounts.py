"""How money is written: kopeks or Stars in the logs, rubles or Stars for people; and whose id an id is."""

from typing import Any

KOPEKS = 100
STARS = "XTR"


def for_logs(amount: int, currency: str) -> str:
    """Return a sum as the agreed log lines have it: `10000 kopeks`, `67 stars`."""
    return f"{amount} stars" if currency == STARS else f"{amount} kopeks"


def id_for_logs(gateway_id: str | None, currency: str) -> dict[str, Any]:
    """Return the id of a payment at its gateway, under the name that the logs have for it."""
    return {"telegram_charge_id" if currency == STARS else "yukassa_payment_id": gateway_id}


def for_people(amount: int, currency: str) -> str:
    """Return a sum as people write it: `100 ₽`, `99.50 ₽`, `67 ⭐`."""
    if currency == STARS:
        return f"{amount} ⭐"
    rubles, kopeks = divmod(amount, KOPEKS)
    return f"{rubles}.{kopeks:02d} ₽" if kopeks else f"{rubles} ₽"
