"""Why an edit was not made, in a sentence for people. `texts/job_errors.yaml` holds the words, by code."""

from __future__ import annotations

from typing import Any

from botapp.texts import SafeText, Texts
from jobs.policy import PromptRejected
from payments.ledger import InsufficientPoints
from qwenedit.errors import DomainError
from qwenedit.lib.images import ImageTooLarge, InvalidImage


def of_error(texts: Texts, error: DomainError) -> SafeText:
    """Return what to tell somebody whose edit was refused."""
    if isinstance(error, PromptRejected):
        return texts("job_errors.prompt_rejected", rule=error.titles[texts.language])
    if isinstance(error, InsufficientPoints):
        balance, required = int(error.extra["balance"]), int(error.extra["required"])
        return texts("job_errors.insufficient_points", **points(texts, missing=required - balance))
    if isinstance(error, ImageTooLarge):
        return texts("job_errors.too_large", limit=f"{int(error.extra['limit_bytes']) / (1 << 20):.4g}")
    if isinstance(error, InvalidImage):
        key = f"job_errors.picture_{error.extra['reason']}"
        return texts(key) if texts.has(key) else texts("job_errors.invalid_image")
    return of_code(texts, error.code, error.extra)


def of_code(texts: Texts, code: str, values: dict[str, Any] | None = None) -> SafeText:
    """Return what a job's error code means for the person whose edit it was."""
    key = f"job_errors.{code}"
    return texts(key, **(values or {})) if texts.has(key) else texts("job_errors.other")


def points(texts: Texts, **amounts: int) -> dict[str, SafeText]:
    """Return amounts with the word for points beside them, as values of a text."""
    return {name: texts("menu.points", count=amount) for name, amount in amounts.items()}
