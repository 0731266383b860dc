"""What a key may do: each view names a scope for reading and one for writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from qwenedit.users.models import ApiKey, Scope

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module, as the default permission


class HasScope(BasePermission):
    """Let a key through that has the request's scope: the view's `read_scope`, or its `write_scope`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the key has the scope."""
        if not isinstance(request.auth, ApiKey):
            return False
        is_read = request.method in SAFE_METHODS
        scope = (
            getattr(view, "read_scope", Scope.READ) if is_read else getattr(view, "write_scope", Scope.EDIT)
        )
        self.message = f"This key lacks the scope “{scope}”."
        return str(scope) in request.auth.scopes
