"""The OpenAPI schema: every operation also documents the problems it may answer with."""

from typing import Any, ClassVar

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457). Some codes carry more fields, such as `balance` and `required`."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)


PROBLEM = {"application/problem+json": ProblemSerializer}
DESCRIPTIONS = {
    400: "The request is not valid",
    401: "No valid key",
    402: "Not enough points",
    403: "The key lacks the scope",
    404: "Not found, or not yours",
    405: "The method is not allowed here",
    406: "No such representation",
    409: "Not possible in the present state",
    413: "Too large",
    415: "The content type is not supported",
    429: "Too many",
}


class ProblemAutoSchema(AutoSchema):
    """Adds the problems of all operations; a view's `problems` adds its own by HTTP status."""

    EVERYWHERE: ClassVar[tuple[int, ...]] = (401, 403, 406)

    def get_response_serializers(self) -> Any:
        """Return what the view documents, and the problems."""
        declared = super().get_response_serializers()
        if not isinstance(declared, dict):
            declared = {self._success_status(): declared}
        statuses = {*self.EVERYWHERE, *getattr(self.view, "problems", {}).get(self._action_name(), ())}
        if self.path_regex and "{" in self.path:
            statuses.add(404)
        return declared | {
            (status, "application/problem+json"): _described(status) for status in sorted(statuses)
        }

    def _success_status(self) -> int:
        return 201 if self.method == "POST" else 200

    def _action_name(self) -> str:
        return str(getattr(self.view, "action", None) or self.method.lower())


def _described(status: int) -> Any:
    from drf_spectacular.utils import OpenApiResponse

    return OpenApiResponse(ProblemSerializer, description=DESCRIPTIONS[status])
