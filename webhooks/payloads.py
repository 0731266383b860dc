"""What a webhook says. An edit looks as `GET jobs/{id}/` shows it to its owner, and no more is told.

The bytes are made once, at the event: whatever is sent later is the same, and has the same meaning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from jobs.models import Job, JobImage
from jobs.states import JobStatus


def payload(event: str, data: Mapping[str, Any], *, at: datetime) -> str:
    """Return the body of an event."""
    body = {"type": event, "timestamp": _iso(at), "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def job_data(job: Job) -> dict[str, Any]:
    """Return a finished edit as its owner sees it over the API.

    The addresses of results begin with PUBLIC_URL; without that setting they are paths.
    """
    return {
        "id": job.pk,
        "status": str(job.status),
        "progress": job.progress,
        "waiting_for_gpu": job.waiting_for_gpu,
        "position": None,
        "eta_seconds": None,
        "price": job.price,
        "preset": job.preset.slug if job.preset else None,
        "prompt": None if job.preset_id else job.prompt,
        "seed": job.seed,
        "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
        "results": _results(job),
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
    }


def _results(job: Job) -> list[dict[str, Any]]:
    if job.status != JobStatus.SUCCEEDED:
        return []
    url = settings.PUBLIC_URL + reverse("api:job-result", args=[job.pk])
    return [
        {"url": url, "width": image.width, "height": image.height, "bytes": image.bytes}
        for image in job.images.filter(role=JobImage.Role.RESULT)
    ]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
