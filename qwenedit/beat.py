"""Celery's beat without Django: `python -m qwenedit.beat` publishes what `celery -A celery_worker beat` does.

Beat sends wake-ups by name and never runs one, so on a small machine it need not load the whole site.
"""

import os

from celery import Celery

from qwenedit import embedded, queues, settings


def main() -> None:
    """Publish the schedule until a signal ends the process."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)  # with it, Celery would load Django
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    embedded.ensure()
    app = Celery("qwenedit")
    app.config_from_object("qwenedit.settings", namespace="CELERY")
    queues.configure(app)
    app.Beat(quiet=True).run()


if __name__ == "__main__":
    main()
