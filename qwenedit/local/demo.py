"""One real edit through the REST API, as any client would make it: a photo in, the edited file out.

Knows the public interface alone, and asks for a key as an operator does: by the management command.
"""

import argparse
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

PRESET = "pencil"
READY_TIMEOUT = 60.0
POLL = 0.2
REQUEST_TIMEOUT = 10.0
FINAL = {"succeeded", "failed", "cancelled"}


class DemoFailed(Exception):
    """The edit did not come about; the message says at which step."""


class Demo:
    """The steps of the edit, told to `tell` as they happen."""

    def __init__(self, site: str, tell: Callable[[str], None]) -> None:
        self._site = site
        self._tell = tell
        self._began = time.monotonic()
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy is for the outside, and this is our own machine

    def run(self, photo: Path, folder: Path, timeout: float) -> Path:
        """Edit `photo` within `timeout` seconds, save the result in `folder`, return its path.

        Raises DemoFailed.
        """
        self._await_ready()
        self._session.headers["Authorization"] = f"Bearer {demo_key()}"
        job = self._submit(photo)
        self._follow(job, timeout)
        return self._fetch(job, folder)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        reason = "no answer"
        while time.monotonic() < deadline:
            try:
                answer = self._session.get(f"{self._site}/readyz", timeout=REQUEST_TIMEOUT)
            except requests.RequestException as error:
                reason = type(error).__name__
            else:
                if answer.ok:
                    self._step("GET", "/readyz", "ready")
                    return
                reason = _reason(answer)
            time.sleep(POLL)
        raise DemoFailed(f"{self._site}/readyz is not ready after {READY_TIMEOUT:g} s: {reason}")

    def _submit(self, photo: Path) -> str:
        with photo.open("rb") as file:
            job = self._ask(
                "POST",
                "/api/v1/jobs/",
                files={"image": (photo.name, file, "image/png")},
                data={"preset": PRESET},
                headers={"Idempotency-Key": str(uuid.uuid4())},
            )
        told = f"{photo.name} with preset {PRESET}: {job['status']} for {job['price']} points"
        self._step("POST", "/api/v1/jobs/", told)
        return str(job["id"])

    def _follow(self, job_id: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        path = f"/api/v1/jobs/{job_id}/"
        told = ""
        while time.monotonic() < deadline:
            job = self._ask("GET", path)
            state = _state(job)
            if state != told:
                self._step("GET", path, state)
                told = state
            if job["status"] in FINAL:
                if job["status"] != "succeeded":
                    raise DemoFailed(f"job {job_id} {state}")
                return
            time.sleep(POLL)
        raise DemoFailed(f"job {job_id} is not finished after {timeout:g} s: {told}")

    def _fetch(self, job_id: str, folder: Path) -> Path:
        path = f"/api/v1/jobs/{job_id}/result/"
        answer = self._send("GET", path)
        kind = answer.headers.get("Content-Type", "")
        self._step("GET", path, f"{kind}, {len(answer.content) / 1024:.0f} kB")
        if not kind.startswith("image/") or not answer.content:
            raise DemoFailed(f"{path} is not a picture")
        folder.mkdir(parents=True, exist_ok=True)
        saved = folder / f"edit-{job_id}.png"
        saved.write_bytes(answer.content)
        return saved

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        body: dict[str, Any] = self._send(method, path, **arguments).json()
        return body

    def _send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            answer = self._session.request(
                method, self._site + path, timeout=REQUEST_TIMEOUT, allow_redirects=False, **arguments
            )
        except requests.RequestException as error:
            raise DemoFailed(f"{method} {path}: {error}") from error
        if not 200 <= answer.status_code < 300:
            raise DemoFailed(f"{method} {path}: {_reason(answer)}")
        return answer

    def _step(self, method: str, path: str, outcome: str) -> None:
        self._tell(f"{time.monotonic() - self._began:6.1f} s  {method:<4} {path:<28} {outcome}")


def demo_key() -> str:
    """Return an API key of the demo user. Raises DemoFailed."""
    made = subprocess.run(
        [sys.executable, "manage.py", "demo_key"], capture_output=True, text=True, timeout=60, check=False
    )
    if made.returncode != 0:
        raise DemoFailed(f"manage.py demo_key failed:\n{made.stderr.strip()}")
    return made.stdout.strip()


def _reason(answer: requests.Response) -> str:
    if "json" in answer.headers.get("Content-Type", ""):
        return f"{answer.status_code} {answer.text[:300]}"
    return f"{answer.status_code} {answer.reason}; the lines of the web process say why"


def _state(job: dict[str, Any]) -> str:
    status = str(job["status"])
    if job.get("error"):
        return f"{status}: {job['error']['code']}, {job['error']['message']}"
    if job.get("waiting_for_gpu"):
        return f"{status}: waiting for the GPU, ComfyUI does not answer"
    if status == "running":
        return f"{status} {job.get('progress', 0)} %"
    return status


def main() -> int:
    """Make the edit and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m qwenedit.local.demo", description=__doc__)
    parser.add_argument("--site", required=True, help="address of the site")
    parser.add_argument("--photo", required=True, type=Path, help="the photo to edit")
    parser.add_argument("--save-in", required=True, type=Path, help="folder of the result")
    parser.add_argument("--timeout", type=float, default=360, help="seconds the edit may take")
    options = parser.parse_args()

    def tell(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    tell("One edit through the REST API")
    try:
        saved = Demo(options.site, tell).run(options.photo, options.save_in, options.timeout)
    except DemoFailed as error:
        tell(f"Failed: {error}")
        return 1
    tell(f"Done: {saved}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
