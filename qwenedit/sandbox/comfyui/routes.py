"""HTTP requests and answers: prompts, queue, history, jobs, the control route; and the table of all routes.

Owns: status codes, bodies, and what a missing or odd parameter leads to.
An exception that escapes becomes aiohttp's plain-text 500, exactly as in ComfyUI: odd requests that
ComfyUI answers so are left to fail here, too.
"""

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from qwenedit.sandbox.comfyui import jobs
from qwenedit.sandbox.comfyui.connection import ConnectionRoutes
from qwenedit.sandbox.comfyui.faults import ACTIONS
from qwenedit.sandbox.comfyui.information import InformationRoutes
from qwenedit.sandbox.comfyui.pictures import PictureRoutes
from qwenedit.sandbox.comfyui.validation import complaint, validate

if TYPE_CHECKING:
    from qwenedit.sandbox.comfyui.server import Sandbox

SENSITIVE_KEYS = ("auth_token_comfy_org", "api_key_comfy_org")
UUID_ADVICE = (
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
    "omit it to let the server generate one"
)


class Routes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    def register(self, app: web.Application) -> None:
        """Add every route, as it is and below /api; /api/jobs exists only there."""
        information = InformationRoutes(self._sandbox)
        pictures = PictureRoutes(self._sandbox)
        connections = ConnectionRoutes(self._sandbox)
        for prefix in ("", "/api"):
            app.add_routes(
                [
                    web.get(f"{prefix}/system_stats", information.system_stats),
                    web.get(f"{prefix}/features", information.features),
                    web.get(f"{prefix}/prompt", self.prompt_info),
                    web.post(f"{prefix}/prompt", self.submit),
                    web.get(f"{prefix}/queue", self.queue),
                    web.post(f"{prefix}/queue", self.change_queue),
                    web.post(f"{prefix}/interrupt", self.interrupt),
                    web.post(f"{prefix}/free", self.free),
                    web.get(f"{prefix}/history", self.history),
                    web.get(f"{prefix}/history/{{prompt_id}}", self.history),
                    web.post(f"{prefix}/history", self.change_history),
                    web.get(f"{prefix}/object_info", information.object_info),
                    web.get(f"{prefix}/object_info/{{node_class}}", information.object_info),
                    web.get(f"{prefix}/models", information.model_folders),
                    web.get(f"{prefix}/models/{{folder}}", information.models),
                    web.get(f"{prefix}/users", information.users),
                    web.post(f"{prefix}/upload/image", pictures.upload),
                    web.get(f"{prefix}/view", pictures.view),
                    web.get(f"{prefix}/ws", connections.websocket),
                ]
            )
        app.add_routes(
            [
                web.get("/api/jobs", self.jobs),
                web.post("/api/jobs/cancel", self.cancel_jobs),
                web.get("/api/jobs/{job_id}", self.job),
                web.post("/api/jobs/{job_id}/cancel", self.cancel_job),
                web.get("/sandbox/faults", self.faults),
                web.post("/sandbox/faults", self.change_faults),
                web.get("/{path:.*}", self.not_found),
            ]
        )

    async def not_found(self, request: web.Request) -> web.Response:
        """Answer for every path that does not exist as ComfyUI's static files do."""
        return web.Response(status=404, content_type="application/octet-stream")

    # Prompts

    async def prompt_info(self, request: web.Request) -> web.Response:
        """Tell how many prompts remain."""
        return web.json_response(self._sandbox.worker.status())

    async def submit(self, request: web.Request) -> web.Response:
        """Check a prompt and queue it; the same id posted twice runs twice."""
        body = await request.json()
        worker = self._sandbox.worker
        number = float(body["number"]) if "number" in body else worker.take_number()
        if "prompt" not in body:
            return _refuse(complaint("no_prompt", "No prompt provided", "No prompt provided"))
        if "number" not in body and body.get("front"):
            number = -number
        prompt_id = body.get("prompt_id")
        if prompt_id is None:
            prompt_id = str(uuid.uuid4())
        elif not _is_canonical_uuid(prompt_id):
            return _refuse(complaint("invalid_prompt_id", "prompt_id must be a valid UUID", UUID_ADVICE))
        graph = body["prompt"]
        verdict = validate(graph, self._sandbox.resources, body.get("partial_execution_targets"))
        if verdict.error is not None:
            return _refuse(verdict.error, verdict.node_errors)
        extra_data = body.get("extra_data", {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        for key in SENSITIVE_KEYS:
            extra_data.pop(key, None)
        extra_data["create_time"] = int(time.time() * 1000)
        worker.queue.put((number, prompt_id, graph, extra_data, verdict.outputs))
        return web.json_response(
            {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        )

    async def interrupt(self, request: web.Request) -> web.Response:
        """Interrupt the prompt with the given id if it runs; without an id, whatever runs."""
        try:
            body = await request.json()
        except json.JSONDecodeError:
            body = {}
        prompt_id = body.get("prompt_id")
        worker = self._sandbox.worker
        if not prompt_id or worker.queue.is_running(prompt_id):
            worker.executor.interrupt()
        return web.Response()

    async def free(self, request: web.Request) -> web.Response:
        """Forget results before the next prompt; there are no models to unload."""
        body = await request.json()
        if body.get("free_memory", False):
            self._sandbox.worker.forget_results()
        return web.Response()

    # Queue and history

    async def queue(self, request: web.Request) -> web.Response:
        """List running and pending prompts, the latter in heap order."""
        running, pending = self._sandbox.worker.queue.snapshot()
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def change_queue(self, request: web.Request) -> web.Response:
        """Delete pending prompts; an unknown id is no error."""
        body = await request.json()
        queue = self._sandbox.worker.queue
        if body.get("clear"):
            queue.clear()
        for prompt_id in body.get("delete", []):
            queue.delete(prompt_id)
        return web.Response()

    async def history(self, request: web.Request) -> web.Response:
        """Show finished prompts; {} for one that is unknown or not over."""
        max_items = request.query.get("max_items")
        entries = self._sandbox.worker.queue.history(
            request.match_info.get("prompt_id"),
            None if max_items is None else int(max_items),
            int(request.query.get("offset", -1)),
        )
        return web.json_response(entries)

    async def change_history(self, request: web.Request) -> web.Response:
        """Forget finished prompts."""
        body = await request.json()
        queue = self._sandbox.worker.queue
        if body.get("clear"):
            queue.clear_history()
        for prompt_id in body.get("delete", []):
            queue.delete_history(prompt_id)
        return web.Response()

    # Jobs

    async def jobs(self, request: web.Request) -> web.Response:
        """List jobs, newest first."""
        try:
            query = jobs.parse_query(request.query)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(jobs.list_jobs(self._sandbox.worker.queue, query))

    async def job(self, request: web.Request) -> web.Response:
        """Show one job."""
        job = jobs.find_job(self._sandbox.worker.queue, request.match_info["job_id"])
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(job)

    async def cancel_job(self, request: web.Request) -> web.Response:
        """Cancel one job, pending or running."""
        return web.json_response({"cancelled": self._cancel(request.match_info["job_id"])})

    async def cancel_jobs(self, request: web.Request) -> web.Response:
        """Cancel several jobs; true if any of them could be."""
        job_ids = (await request.json())["job_ids"]
        if invalid := [job_id for job_id in job_ids if not _is_canonical_uuid(job_id)]:
            error = {"error": "job_ids contains invalid id(s)", "invalid_ids": invalid}
            return web.json_response(error, status=400)
        return web.json_response({"cancelled": True in [self._cancel(job_id) for job_id in job_ids]})

    def _cancel(self, prompt_id: str) -> bool:
        worker = self._sandbox.worker
        if worker.queue.is_running(prompt_id):
            worker.executor.interrupt()
            return True
        return worker.queue.delete(prompt_id)

    # Control of the sandbox itself

    async def faults(self, request: web.Request) -> web.Response:
        """Show every fault as it stands."""
        return web.json_response(self._sandbox.faults.state())

    async def change_faults(self, request: web.Request) -> web.Response:
        """Set faults and act, as the docstring of `faults` says; show every fault as it stands then."""
        try:
            body = dict(await request.json())
            actions = {name for name in ACTIONS if body.pop(name, False)}
            if "reset" in actions:
                self._sandbox.faults.reset()
            self._sandbox.faults.update(body)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        if "restart" in actions:
            self._sandbox.restart()
        if self._sandbox.faults.now.worker_dead:
            self._sandbox.worker.die()
        if "drop_websockets" in actions:
            self._sandbox.events.break_all()
        return web.json_response(self._sandbox.faults.state())


def _is_canonical_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


def _refuse(error: dict[str, Any], node_errors: dict[str, Any] | None = None) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors or {}}, status=400)
