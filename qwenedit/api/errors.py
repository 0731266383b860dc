"""Errors as `application/problem+json` (RFC 9457), from every layer through one function.

`code` is for machines and never changes; `detail` is for people. A field's problems come under `errors`.
"""

from __future__ import annotations

import math
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from qwenedit.errors import DomainError

logger = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"

TITLES = {
    "invalid_request": "The request is not valid",
    "invalid_image": "The picture can not be used",
    "prompt_rejected": "The prompt is not allowed",
    "unauthorized": "A valid key is needed",
    "forbidden": "The key may not do this",
    "insufficient_points": "Not enough points",
    "not_found": "Not found",
    "method_not_allowed": "The method is not allowed here",
    "not_acceptable": "No such representation",
    "conflict": "Not possible in the present state",
    "idempotency_mismatch": "The idempotency key was used for another request",
    "too_large": "Too large",
    "unsupported_media_type": "The content type is not supported",
    "too_many_jobs": "Too many unfinished edits",
    "rate_limited": "Too many requests",
    "gateway_unavailable": "The payment service does not answer",
    "internal_error": "Something went wrong on our side",
}

CODES_BY_STATUS = {
    status.HTTP_401_UNAUTHORIZED: "unauthorized",
    status.HTTP_403_FORBIDDEN: "forbidden",
    status.HTTP_404_NOT_FOUND: "not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_406_NOT_ACCEPTABLE: "not_acceptable",
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: "too_large",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    status.HTTP_429_TOO_MANY_REQUESTS: "rate_limited",
}


class ProblemRenderer(JSONRenderer):
    """JSON under the media type of problem details."""

    media_type = CONTENT_TYPE


def problem(status_code: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """Return the body of one problem."""
    return {
        "type": f"urn:qwenedit:problem:{code}",
        "title": TITLES.get(code, "The request failed"),
        "status": status_code,
        "detail": detail,
        "code": code,
        **extra,
    }


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an expected error; None lets an unexpected one become a logged 500."""
    answer = _answer(error)
    if answer is None:
        return None
    body, headers = answer
    set_rollback()
    response = Response(body, status=body["status"], headers=headers)
    response.content_type = CONTENT_TYPE
    request = context.get("request")
    if request is not None:
        # The client's Accept header chose a renderer for the answer it hoped for, not for this one.
        request.accepted_renderer = ProblemRenderer()
        request.accepted_media_type = CONTENT_TYPE
    return response


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer an unknown address under `/api/`."""
    return _plain(problem(404, "not_found", "There is nothing at this address."))


def server_error(request: HttpRequest) -> JsonResponse:
    """Answer a mistake of ours."""
    return _plain(problem(500, "internal_error", "The error was reported. Nothing was charged twice."))


def _plain(body: dict[str, Any]) -> JsonResponse:
    return JsonResponse(body, status=body["status"], content_type=CONTENT_TYPE)


def _answer(error: Exception) -> tuple[dict[str, Any], dict[str, str]] | None:
    match error:
        case DomainError():
            return problem(error.status, error.code, error.message, **error.extra), {}
        case exceptions.ValidationError():
            errors = _by_field(error.detail)
            detail = " ".join(f"{field}: {' '.join(texts)}" for field, texts in errors.items())
            return problem(400, "invalid_request", detail, errors=errors), {}
        case DjangoValidationError():
            return problem(400, "invalid_request", " ".join(error.messages), errors={}), {}
        case Http404():
            return problem(404, "not_found", "There is no such thing, or it is not yours."), {}
        case PermissionDenied():
            return problem(403, "forbidden", "This is not allowed."), {}
        case exceptions.Throttled():
            seconds = max(1, math.ceil(error.wait or 1))
            detail = f"Too many requests. Please try again in {seconds} seconds."
            return problem(429, "rate_limited", detail), {"Retry-After": str(seconds)}
        case exceptions.APIException():
            code = CODES_BY_STATUS.get(error.status_code, "invalid_request")
            challenge = getattr(error, "auth_header", None)
            headers = {"WWW-Authenticate": challenge} if challenge else {}
            return problem(error.status_code, code, str(error.detail)), headers
    return None


def _by_field(detail: Any, name: str = "") -> dict[str, list[str]]:
    if isinstance(detail, dict):
        fields: dict[str, list[str]] = {}
        for key, value in detail.items():
            fields |= _by_field(value, f"{name}.{key}" if name else str(key))
        return fields
    texts = detail if isinstance(detail, list) else [detail]
    return {name or "request": [str(text) for text in texts]}
