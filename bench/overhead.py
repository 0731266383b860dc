"""One costless edit at a time by the REST API, from the request to the stored result, beside a direct client.

The headline, `system_ms`, runs from the moment the client sends `POST jobs/` to the moment the transaction
that stores the result is about to be committed (`finished_at`); both clocks are this machine's. `queue_ms` is
`finished_at - created_at`, without request, authentication and upload. `answered_ms` is the time of the POST
alone. The direct client uploads the same picture to the same ComfyUI, posts the prompt, waits on the
WebSocket and fetches the result, and keeps nothing. Both go on in turns, so that the machine is the same.
"""

from __future__ import annotations

import itertools
import json
import time

from bench.comfyui import costless_comfyui
from bench.direct import DirectClient
from bench.pictures import picture
from bench.plain_http import PlainHttp, form
from bench.report import Figures, Goal, percentiles, run
from bench.system import System, installation, wait_until

WARM_UP = 10
POLL = 0.05  # seconds
GOALS = (Goal("overhead_ms_p50", 25), Goal("overhead_ms_p99", 100))


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises SystemExit where an edit does not succeed."""
    with (
        costless_comfyui() as comfyui,
        installation(COMFYUI_URL=comfyui, INITIAL_BALANCE="1000000") as system,
    ):
        system.set_up_django()
        system.start_worker()
        system.start_beat()
        system.start_web()
        return _compare(system, comfyui, 10 if quick else 300)


def _compare(system: System, comfyui: str, count: int) -> Figures:
    from jobs.models import Job
    from qwenedit.users.services import create_api_key, register_api_user

    user, _ = register_api_user(username="bench")
    _, key = create_api_key(user=user)
    photo = picture("JPEG")
    api = PlainHttp(system.url, {"Authorization": f"Bearer {key}"})
    prompts = (f"make it an ink drawing, number {number}" for number in itertools.count(1))

    def edit() -> tuple[float, float, float]:
        """Return the milliseconds of an edit: in all, in the queue and on its node, for the answer."""
        submission = form(photo, prompt=next(prompts))  # words of its own: judged ones are remembered
        sent = time.time()
        answer = api.ask("POST", "/api/v1/jobs/", *submission)
        answered = time.time()
        ours = Job.objects.filter(pk=json.loads(answer)["id"])
        # Seldom enough to take nothing from the system, which tells the moment itself.
        time.sleep(POLL)
        wait_until(lambda: ours.filter(finished_at__isnull=False).exists(), every=POLL)
        job = ours.get()
        if job.status != "succeeded" or job.finished_at is None:
            raise SystemExit(f"Job {job.pk} {job.status}: {job.error_code} {job.error_message}")
        finished = job.finished_at.timestamp()
        return (
            1000 * (finished - sent),
            1000 * (finished - job.created_at.timestamp()),
            1000 * (answered - sent),
        )

    system_times, direct_times = [], []
    with DirectClient(comfyui) as direct:
        for number in range(WARM_UP + count):
            times = edit()
            started = time.perf_counter()
            direct.edit(photo)
            if number >= WARM_UP:
                system_times.append(times)
                direct_times.append(1000 * (time.perf_counter() - started))
    wholes, queued, answered = zip(*system_times, strict=True)
    figures = {
        "edits": count,
        **percentiles("system_ms", wholes),
        **percentiles("direct_ms", direct_times),
        **percentiles("queue_ms", queued),
        **percentiles("answered_ms", answered),
    }
    for rank in ("p50", "p99"):
        ours, floor = figures[f"system_ms_{rank}"], figures[f"direct_ms_{rank}"]
        figures |= {
            f"overhead_ms_{rank}": round(ours - floor, 2),
            f"ratio_{rank}": round(ours / floor, 2),
        }
    return figures


if __name__ == "__main__":
    run("overhead", measure, GOALS)
