"""Many queued edits of a second with pictures of 2 MB, on one node: how much of the time the node computes.

Both sides are read from the node's own history, in milliseconds: from an execution's start to its success it
computes; from there to the next start it idles. The direct client is two connections that keep one prompt
waiting behind the one that runs, as the system does. A ComfyUI of one's own makes results of its own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import requests

from bench.comfyui import costless_comfyui
from bench.direct import DirectClient
from bench.pictures import noise
from bench.report import Figures, Goal, percentiles, run
from bench.system import installation, wait_until

BYTES = 2_000_000
CLIENTS = 2
GOALS = (Goal("busy_percent", 98, least=True), Goal("gap_ms_p50", 5))


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises SystemExit where an edit does not succeed."""
    count, seconds = (4, 0.2) if quick else (30, 1.0)
    photo, result = noise("JPEG", BYTES), noise("PNG", BYTES)
    with costless_comfyui(seconds=seconds, result=result) as comfyui:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda _: _edit(comfyui, photo, count // CLIENTS), range(CLIENTS)))
        direct = _occupation(comfyui, "direct_")
        requests.post(f"{comfyui}/history", json={"clear": True}, timeout=10).raise_for_status()
        with installation(COMFYUI_URL=comfyui, INITIAL_BALANCE="100000") as system:
            system.set_up_django()
            from bench.jobs import count_succeeded, submit_jobs, unfinished

            submit_jobs(count, photo)
            system.start_worker()
            system.start_beat()
            wait_until(lambda: not unfinished(), seconds=300, every=0.5)
            if count_succeeded() != count:
                raise SystemExit(f"{count_succeeded()} of {count} edits have a result")
        ours = _occupation(comfyui, "")
    return {"edits": count, "photo_bytes": len(photo), **ours, **direct}


def _edit(url: str, photo: bytes, count: int) -> None:
    with DirectClient(url) as client:
        for _ in range(count):
            client.edit(photo)


def _occupation(url: str, prefix: str) -> Figures:
    """Return how busy the node was from its first execution to the end of its last."""
    history = requests.get(f"{url}/history", timeout=30).json()
    spans = sorted(
        (moments["execution_start"], moments["execution_success"])
        for entry in history.values()
        if (moments := {name: data.get("timestamp") for name, data in entry["status"]["messages"]})
    )
    busy = sum(end - start for start, end in spans)
    gaps = [start - end for (_, end), (start, _) in pairwise(spans)]
    return {
        f"{prefix}seconds_each": round(busy / len(spans) / 1000, 3),
        f"{prefix}busy_percent": round(100 * busy / (spans[-1][1] - spans[0][0]), 2),
        **percentiles(f"{prefix}gap_ms", gaps),
    }


if __name__ == "__main__":
    run("gpu_busy", measure, GOALS)
