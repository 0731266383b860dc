"""A task that does nothing, in the app of production: what the broker and Celery cost by themselves."""

from celery_worker import app


QUEUE = "edits"  # also the name of its list in the broker


@app.task(name="bench.noop", queue=QUEUE)
def noop() -> None:
    """Do nothing."""
