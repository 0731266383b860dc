"""The OpenAPI schema: every operation also documents the problems it may answer with."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from qwenedit.problems import CONTENT_TYPE, TITLES


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457). Some codes carry more members, such as `balance` and `required`."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="For people, in English.")
    code = serializers.CharField(help_text="For machines: " + ", ".join(f"`{code}`" for code in TITLES) + ".")
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="What is wrong, by field.",
    )


DESCRIPTIONS = {
    400: "The request is not valid",
    401: "No valid key",
    402: "Not enough points",
    403: "The key lacks the scope",
    404: "Not found, or not yours",
    409: "Not possible in the present state",
    413: "Too large",
    415: "The content type is not supported",
    429: "Too many",
    502: "The payment service refused",
    503: "The payment service does not answer; it may be asked again",
}


class ProblemAutoSchema(AutoSchema):
    """Adds the problems that all operations share; a view's `problems` adds its own, by action or method."""

    EVERYWHERE: ClassVar[tuple[int, ...]] = (401, 403)

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the operation with its problems."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        action = getattr(self.view, "action", None) or self.method.lower()
        statuses = {*self.EVERYWHERE, *getattr(self.view, "problems", {}).get(action, ())}
        if "{" in self.path:
            statuses.add(404)
        body = {"schema": self.resolve_serializer(ProblemSerializer, "response").ref}
        for status in sorted(statuses):
            operation["responses"][str(status)] = {
                "content": {CONTENT_TYPE: body},
                "description": DESCRIPTIONS[status],
            }
        return operation
