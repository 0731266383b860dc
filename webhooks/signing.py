"""Signatures as Standard Webhooks 1.0 has them (https://www.standardwebhooks.com): HMAC-SHA256, `v1`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> str:
    """Return a new secret as its owner sees it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(*, webhook_id: str, timestamp: int, payload: bytes, signed_with: Iterable[str]) -> dict[str, str]:
    """Return the headers of a delivery, with one signature a secret. `timestamp` is in Unix seconds."""
    content = b".".join([webhook_id.encode(), str(timestamp).encode(), payload])
    signatures = (_signature(secret, content) for secret in signed_with)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
