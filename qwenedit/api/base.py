"""What all views of the API do alike: they answer JSON, to a key's owner, and nobody keeps a copy."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAuthenticated
from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from qwenedit.lib.compiled import Asked
from qwenedit.users.models import User


class OneRepresentation(DefaultContentNegotiation):
    """There is one representation of everything, so it is sent whatever the client says it accepts."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


class Description(SimpleMetadata):
    """The answer to OPTIONS: what a view is. The fields of its requests are the schema's subject."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        """Return nothing: DRF would describe the answers' fields as the request's."""
        return {}


class ApiView(APIView):
    """Base of every view."""

    content_negotiation_class = OneRepresentation
    metadata_class = Description
    along: Any  # set by `ApiKeyAuthentication` alone

    def ask_along(self) -> Asked[Any] | None:
        """Return a statement to send together with the question whose key it is; `along` becomes its answer.

        Nobody may see that answer before it is known whose key it is. None where there is nothing to ask.
        """
        return None

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Forbid caches to keep what is the user's own."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Cache-Control"] = "no-store"
        return answer


def owner(request: Request) -> User:
    """Return whose key it is. Raises NotAuthenticated."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user
