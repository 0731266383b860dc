"""/api/jobs: one view of what waits, runs and is over.

Owns: the shape of a job, filters, order and pages. Reads the queue and the history, changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwenedit.sandbox.comfyui.prompt_queue import Item, PromptQueue

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
PICTURES = "images"
SORT_KEYS = ("created_at", "execution_duration")

Job = dict[str, Any]


@dataclass(frozen=True)
class JobQuery:
    """What GET /api/jobs was asked for."""

    statuses: tuple[str, ...] = STATUSES
    workflow_id: str | None = None
    sort_by: str = "created_at"
    descending: bool = True
    limit: int | None = None
    offset: int = 0


def parse_query(parameters: Mapping[str, str]) -> JobQuery:
    """Read the query string; raise ValueError with ComfyUI's complaint."""
    statuses = tuple(filter(None, (part.strip() for part in parameters.get("status", "").split(","))))
    if unknown := [status for status in statuses if status not in STATUSES]:
        raise ValueError(
            f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}"
        )
    sort_by = parameters.get("sort_by", "created_at")
    if sort_by not in SORT_KEYS:
        raise ValueError(f"sort_by must be one of: {', '.join(SORT_KEYS)}")
    order = parameters.get("sort_order", "desc")
    if order not in ("asc", "desc"):
        raise ValueError("sort_order must be 'asc' or 'desc'")
    limit = _integer(parameters, "limit")
    if limit is not None and limit <= 0:
        raise ValueError("limit must be a positive integer")
    return JobQuery(
        statuses=statuses or STATUSES,
        workflow_id=parameters.get("workflow_id"),
        sort_by=sort_by,
        descending=order == "desc",
        limit=limit,
        offset=max(0, _integer(parameters, "offset") or 0),
    )


def _integer(parameters: Mapping[str, str], name: str) -> int | None:
    try:
        return int(parameters[name]) if name in parameters else None
    except ValueError:
        raise ValueError(f"{name} must be an integer") from None


def find_job(queue: PromptQueue, prompt_id: str) -> Job | None:
    """Return one job in full, or None."""
    running, pending = queue.snapshot()
    for status, items in (("in_progress", running), ("pending", pending)):
        for item in items:
            if item[1] == prompt_id:
                return _waiting(item, status)
    entry = queue.history(prompt_id).get(prompt_id)
    if entry is None:
        return None
    _, _, graph, extra_data, _ = entry["prompt"]
    return _finished(entry) | {
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": {"prompt": graph, "extra_data": extra_data},
    }


def list_jobs(queue: PromptQueue, query: JobQuery) -> dict[str, Any]:
    """Return one page of jobs."""
    running, pending = queue.snapshot()
    jobs = [_waiting(item, "in_progress") for item in running]
    jobs += [_waiting(item, "pending") for item in pending]
    jobs += [_finished(entry) for entry in queue.history().values()]
    jobs = [
        job
        for job in jobs
        if job["status"] in query.statuses and query.workflow_id in (None, job.get("workflow_id"))
    ]
    jobs.sort(key=_created_at if query.sort_by == "created_at" else _duration, reverse=query.descending)
    stop = None if query.limit is None else query.offset + query.limit
    page = jobs[query.offset : stop]
    pagination = {
        "offset": query.offset,
        "limit": query.limit,
        "total": len(jobs),
        "has_more": query.offset + len(page) < len(jobs),
    }
    return {"jobs": page, "pagination": pagination}


def _created_at(job: Job) -> int:
    created: int = job["create_time"]
    return created


def _duration(job: Job) -> int:
    duration: int = job.get("execution_end_time", 0) - job.get("execution_start_time", 0)
    return duration


def _pruned(job: Job) -> Job:
    return {key: value for key, value in job.items() if value is not None}


def _waiting(item: Item, status: str) -> Job:
    number, prompt_id, _, extra_data, _ = item
    return _pruned(
        {
            "id": prompt_id,
            "status": status,
            "priority": number,
            "create_time": extra_data["create_time"],
            "outputs_count": 0,
            "previewable_outputs_count": 0,
            "workflow_id": _workflow_id(extra_data),
        }
    )


def _finished(entry: Mapping[str, Any]) -> Job:
    number, prompt_id, _, extra_data, _ = entry["prompt"]
    messages = dict(entry["status"]["messages"])
    end: dict[str, Any] = entry["status"]["messages"][-1][1]
    previews = [
        {**file, "nodeId": node_id, "mediaType": PICTURES}
        for node_id, shown in entry["outputs"].items()
        for file in shown.get(PICTURES, [])
    ]
    return _pruned(
        {
            "id": prompt_id,
            "status": _final_status(entry),
            "priority": number,
            "create_time": extra_data["create_time"],
            "execution_start_time": messages["execution_start"]["timestamp"],
            "execution_end_time": end["timestamp"],
            "execution_error": messages.get("execution_error"),
            "outputs_count": len(previews),
            "previewable_outputs_count": len(previews),
            "preview_output": _preferred(previews),
            "workflow_id": _workflow_id(extra_data),
        }
    )


def _final_status(entry: Mapping[str, Any]) -> str:
    if entry["status"]["completed"]:
        return "completed"
    interrupted = any(event == "execution_interrupted" for event, _ in entry["status"]["messages"])
    return "cancelled" if interrupted else "failed"


def _preferred(previews: list[dict[str, Any]]) -> dict[str, Any] | None:
    saved = [preview for preview in previews if preview["type"] == "output"]
    return next(iter(saved or previews), None)


def _workflow_id(extra_data: Mapping[str, Any]) -> str | None:
    workflow = (extra_data.get("extra_pnginfo") or {}).get("workflow") or {}
    identifier: str | None = workflow.get("id")
    return identifier
