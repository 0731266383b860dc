"""The body of an error answer: problem details (RFC 9457), the same from every layer.

`code` is for machines and never changes; `detail` is for people. Knows no framework: the edge in front of
Django answers with these too.
"""

from typing import Any, Final

CONTENT_TYPE: Final = "application/problem+json"

TITLES: Final = {
    "invalid_request": "The request is not valid",
    "invalid_image": "The picture can not be used",
    "prompt_rejected": "The prompt is not allowed",
    "unauthorized": "A valid key is needed",
    "forbidden": "The key may not do this",
    "insufficient_points": "Not enough points",
    "not_found": "Not found",
    "method_not_allowed": "The method is not allowed here",
    "conflict": "Not possible in the present state",
    "idempotency_mismatch": "The idempotency key was used for another request",
    "too_large": "Too large",
    "unsupported_media_type": "The content type is not supported",
    "too_many_jobs": "Too many unfinished edits",
    "rate_limited": "Too many requests",
    "gateway_rejected": "The payment service refused",
    "gateway_unavailable": "The payment service does not answer",
    "internal_error": "Something went wrong on our side",
}


def problem(status: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """Return the body of one problem; `extra` joins it as further members."""
    return {
        "type": f"urn:qwenedit:problem:{code}",
        "title": TITLES.get(code, "The request failed"),
        "status": status,
        "detail": detail,
        "code": code,
        **extra,
    }
