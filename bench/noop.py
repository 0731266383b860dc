"""A task that does nothing, in the app of production: what the broker and Celery cost by themselves."""

import time
from pathlib import Path

from celery_worker import app

_moments: list[float] = []


@app.task(name="bench.noop", queue="edits")
def noop(count: int, target: str) -> None:
    """Do nothing; the last of `count` in this worker writes their rate, a second, into the file `target`."""
    _moments.append(time.perf_counter())
    if len(_moments) == count:
        # Renamed, so that whoever waits for the file finds it whole.
        draft = Path(f"{target}.draft")
        draft.write_text(str(count / (_moments[-1] - _moments[0])))
        draft.rename(target)
