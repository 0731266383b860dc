"""Bearer keys."""

from typing import Any

import structlog
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from qwenedit.lib.compiled import Compiled, together
from qwenedit.users.models import ApiKey, User, key_digest

CHALLENGE = 'Bearer realm="QwenEdit"'
REFUSAL = "The key is unknown, revoked, or its account is blocked."

_usable = Compiled(lambda digest: ApiKey.objects.usable().select_related("user").filter(digest=digest))


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`. The key is looked up by its digest, so no comparison leaks its text."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        """Return the key's user and the key, or None where no key was sent. Raises AuthenticationFailed."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        if len(words) != 2:
            raise AuthenticationFailed("Send `Authorization: Bearer <key>`.")
        digest = key_digest(words[1].decode("utf-8", "replace"))
        found = _ask(digest, request)
        if not found:
            raise AuthenticationFailed(REFUSAL)
        [key] = found
        key.touch(timezone.now())
        structlog.contextvars.bind_contextvars(user_id=key.user_id)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401: without one DRF answers 403."""
        return CHALLENGE


def _ask(digest: str, request: Request) -> list[ApiKey]:
    """Return the key, if it is good. What the view wants to know besides travels in the same message."""
    view: Any = request.parser_context.get("view")
    along = view.ask_along() if hasattr(view, "ask_along") else None  # see `ApiView`
    if along is None:
        return _usable(digest)
    found: list[ApiKey]
    found, view.along = together(_usable.of(digest), along)
    return found


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes the keys."""

    target_class = "qwenedit.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the scheme's object."""
        return {"type": "http", "scheme": "bearer", "description": "A key of `manage.py create_api_key`."}
