"""Entry for `celery -A celery_worker worker` and `celery -A celery_worker beat`.

Brings up the embedded Valkey when REDIS_URL is not set, then hands over to the app.
"""

import os
import warnings

from celery.exceptions import CPendingDeprecationWarning

from qwenedit import embedded

# Celery would run the system checks at every start, which imports the whole site; `prepare` runs them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

# Speaks of pickled messages, which anyone with access to the broker could forge; ours are JSON alone.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
# A lost connection cancels nothing: an attempt goes on, and whatever is delivered twice finds no work.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, message=r"\s*In Celery 5\.1")

embedded.ensure()

from qwenedit.celery import app  # noqa: E402  (the broker answers first)

__all__ = ["app"]
