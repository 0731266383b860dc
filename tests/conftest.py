"""What every test stands on: a folder and an environment of its own, and Django set up in them.

The fixtures themselves live in modules by subject: `tests.databases` (SQLite, PostgreSQL, Valkey),
`tests.cast` (people, their keys and clients) and `tests.gpu` (a sandbox ComfyUI and its node).
"""

import django
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests import session

session.sweep_killed_sessions()
_folder = session.SessionFolder()
session.isolate_environment(_folder.path)

# Before any other conftest or test module is imported, so that each may import models at its top.
django.setup()

hypothesis_settings.register_profile(
    "qwenedit", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
hypothesis_settings.load_profile("qwenedit")

pytest_plugins = [
    "tests.databases",
    "tests.cast",
    "tests.gpu",
    "tests.money",
    "tests.telegram",
    "tests.browser",
]


def pytest_configure() -> None:
    """Leave no process behind, whether the session is interrupted or terminated."""
    session.end_on_sigterm()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Stop the embedded Valkey and delete the session's folder."""
    from qwenedit import embedded

    embedded.release()
    _folder.remove()
