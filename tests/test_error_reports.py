"""Errors go to the Sentry that SENTRY_DSN names, without pictures and words; refusals do not."""

import gzip
import json
import os
import subprocess
import sys

from qwenedit import settings
from tests.comfy.scripted import Reply, ScriptedServer

RAISE = """
import django; django.setup()
import sentry_sdk
from jobs.wishes import InvalidRequest
for error in (InvalidRequest(prompt="too short"), RuntimeError("a mistake of ours")):
    try:
        secret = "the user's own words"
        raise error
    except Exception:
        sentry_sdk.capture_exception()
sentry_sdk.flush(60)
"""


def test_only_unexpected_errors_are_reported_and_without_the_users_words() -> None:
    with ScriptedServer() as sentry:
        sentry.answers["POST", "/api/1/envelope/"] = Reply(200, b"{}")
        address = sentry.url.removeprefix("http://")
        ran = subprocess.run(
            [sys.executable, "-c", RAISE],
            cwd=settings.BASE_DIR,
            env=os.environ | {"SENTRY_DSN": f"http://key@{address}/1"},
            capture_output=True,
            text=True,
        )

        assert ran.returncode == 0, ran.stderr
        events = [event for request in sentry.requests for event in errors_in(request.body)]
    frames = [frame for event in events for frame in event["exception"]["values"][-1]["stacktrace"]["frames"]]
    assert frames
    assert not any("vars" in frame for frame in frames)
    assert [event["exception"]["values"][-1]["value"] for event in events] == ["a mistake of ours"]


def errors_in(body: bytes) -> list[dict[str, object]]:
    """Return the error events of an envelope."""
    lines = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).splitlines()
    items = [json.loads(line) for line in lines if line]
    return [item for item in items if "exception" in item]
