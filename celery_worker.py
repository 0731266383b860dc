"""Entry for `celery -A celery_worker worker` and `celery -A celery_worker beat`.

Brings up the embedded Valkey when REDIS_URL is not set, then hands over to the app.
"""

import os
import warnings

from qwenedit import embedded, settings

# Celery would run the system checks at every start, which imports the whole site; `prepare` runs them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")
# Speaks of pickled messages, which anyone with access to the broker could forge; ours are JSON alone.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
embedded.ensure()

from qwenedit.celery import app  # noqa: E402  (the broker answers first)

__all__ = ["app"]
