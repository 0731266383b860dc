"""Errors as `application/problem+json` (RFC 9457), from every layer through one function.

A field's problems come under `errors`. Must not know which view failed.
"""

from __future__ import annotations

import math
from typing import Any

import structlog
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from qwenedit.api.authentication import CHALLENGE
from qwenedit.errors import DomainError
from qwenedit.problems import CONTENT_TYPE, problem

logger = structlog.get_logger(__name__)

CODES_BY_STATUS = {
    status.HTTP_401_UNAUTHORIZED: "unauthorized",
    status.HTTP_403_FORBIDDEN: "forbidden",
    status.HTTP_404_NOT_FOUND: "not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}


class ProblemRenderer(JSONRenderer):
    """JSON under the media type of problem details."""

    media_type = CONTENT_TYPE


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an expected error; None lets an unexpected one become a logged 500."""
    body = _problem(error)
    if body is None:
        return None
    set_rollback()
    response = Response(body, status=body["status"], content_type=CONTENT_TYPE)
    if body["status"] == status.HTTP_401_UNAUTHORIZED:
        response["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, exceptions.Throttled):
        response["Retry-After"] = str(_seconds(error))
    request = context.get("request")
    if request is not None:
        # The view's renderer is for the answer the client hoped for, not for this one.
        request.accepted_renderer = ProblemRenderer()
        request.accepted_media_type = CONTENT_TYPE
    return response


def _problem(error: Exception) -> dict[str, Any] | None:
    match error:
        case DomainError():
            return problem(error.status, error.code, error.message, **error.extra)
        case exceptions.ValidationError():
            errors = _by_field(error.detail)
            detail = " ".join(f"{field}: {' '.join(texts)}" for field, texts in errors.items())
            return problem(400, "invalid_request", detail, errors=errors)
        case DjangoValidationError():
            return problem(400, "invalid_request", " ".join(error.messages), errors={})
        case exceptions.ParseError():
            detail = "The body is not what its Content-Type says, or it is broken."
            return problem(400, "invalid_request", detail, errors={})
        case TooManyFieldsSent() | TooManyFilesSent():
            return problem(400, "invalid_request", "The form has too many fields.", errors={})
        case RequestDataTooBig():
            return problem(413, "too_large", "The text fields of the form are too large.")
        case SuspiciousOperation():
            logger.warning("Suspicious request", reason=str(error))
            return problem(400, "invalid_request", "The request is not valid.", errors={})
        case Http404():
            return problem(404, "not_found", "There is no such thing, or it is not yours.")
        case PermissionDenied():
            return problem(403, "forbidden", "This is not allowed.")
        case exceptions.NotAuthenticated():
            return problem(401, "unauthorized", "Send `Authorization: Bearer <key>`.")
        case exceptions.Throttled():
            detail = f"Too many requests. Please try again in {_seconds(error)} seconds."
            return problem(429, "rate_limited", detail)
        case exceptions.APIException() if error.status_code < status.HTTP_500_INTERNAL_SERVER_ERROR:
            code = CODES_BY_STATUS.get(error.status_code, "invalid_request")
            return problem(error.status_code, code, str(error.detail))
    return None


def _seconds(error: exceptions.Throttled) -> int:
    wait: float | None = getattr(error, "wait", None)
    return max(1, math.ceil(wait or 1))


def _by_field(detail: Any, name: str = "") -> dict[str, list[str]]:
    if isinstance(detail, dict):
        fields: dict[str, list[str]] = {}
        for key, value in detail.items():
            fields |= _by_field(value, f"{name}.{key}" if name else str(key))
        return fields
    texts = detail if isinstance(detail, list) else [detail]
    return {name: [str(text) for text in texts]}
