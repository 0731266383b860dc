"""How the bot receives updates: by polling, or by a webhook."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qwenedit.sandbox.telegram.errors import Refusal, bad_request, conflict
from qwenedit.sandbox.telegram.methods.common import Method, Said
from qwenedit.sandbox.telegram.parameters import Parameters
from qwenedit.sandbox.telegram.updates import LONGEST_POLL
from qwenedit.sandbox.telegram.webhook import Destination

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

MOST_UPDATES = 100
MOST_CONNECTIONS = 100
USUAL_CONNECTIONS = 40
LONGEST_SECRET = 256
SECRET = re.compile(r"[A-Za-z0-9_-]*")
WEBHOOK_IS_ACTIVE = (
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


async def get_updates(sandbox: "Sandbox", given: Parameters) -> list[dict[str, Any]]:
    """Return pending updates, or wait for some."""
    if sandbox.webhook.destination.url:
        raise conflict(WEBHOOK_IS_ACTIVE)
    sandbox.updates.allow(given.json("allowed_updates", "allowed updates"))
    limit = given.integer("limit", MOST_UPDATES)
    return await sandbox.updates.poll(
        offset=given.integer("offset"),
        limit=limit if 1 <= limit <= MOST_UPDATES else MOST_UPDATES,
        timeout=min(max(0, given.integer("timeout")), LONGEST_POLL),
    )


async def set_webhook(sandbox: "Sandbox", given: Parameters) -> Said:
    """Have updates sent to a URL; an empty one ends that. Unlike Telegram, plain HTTP will do."""
    url = given.text("url").strip()
    if not url:
        return await delete_webhook(sandbox, given)
    secret = given.text("secret_token")
    if len(secret) > LONGEST_SECRET:
        raise bad_request("secret token is too long")
    if not SECRET.fullmatch(secret):
        raise bad_request("secret token contains unallowed characters")
    _check_url(url)
    connections = given.integer("max_connections", USUAL_CONNECTIONS)
    destination = Destination(url, secret, min(max(1, connections), MOST_CONNECTIONS))
    _drop_pending(sandbox, given)
    sandbox.updates.allow(given.json("allowed_updates", "allowed updates"))
    sandbox.updates.stop_polling(Refusal(409, "Conflict: terminated by setWebhook request"))
    if destination == sandbox.webhook.destination and not given.flag("drop_pending_updates"):
        return Said(True, "Webhook is already set")  # noqa: FBT003 - the method's result
    sandbox.webhook.point_to(destination)
    return Said(True, "Webhook was set")  # noqa: FBT003 - the method's result


async def delete_webhook(sandbox: "Sandbox", given: Parameters) -> Said:
    """Keep updates for getUpdates."""
    was_set = bool(sandbox.webhook.destination.url)
    _drop_pending(sandbox, given)
    sandbox.webhook.point_to(Destination())
    text = "Webhook was deleted" if was_set else "Webhook is already deleted"
    return Said(True, text)  # noqa: FBT003 - the method's result


async def get_webhook_info(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Say where updates are sent, and how that goes."""
    destination, allowed = sandbox.webhook.destination, sandbox.updates.allowed
    info: dict[str, Any] = {
        "url": destination.url,
        "has_custom_certificate": False,
        "pending_update_count": len(sandbox.updates.pending),
    }
    if destination.url:
        info |= {"max_connections": destination.max_connections, "ip_address": "127.0.0.1"}
        info |= sandbox.webhook.last_error()
    return info | ({"allowed_updates": allowed} if allowed else {})


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    if not parts.hostname:
        raise bad_request("bad webhook: URL host is empty")


def _drop_pending(sandbox: "Sandbox", given: Parameters) -> None:
    if given.flag("drop_pending_updates"):
        sandbox.updates.drop()


METHODS: dict[str, Method] = {
    "getUpdates": get_updates,
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
}
