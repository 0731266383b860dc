"""What an edit leaves behind: rows, points and files. A refused one must leave nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from jobs.models import Job, JobImage
from payments.models import LedgerEntry
from qwenedit.users.models import User


def stored_files() -> list[str]:
    """Return every file that the storage holds."""
    root = settings.MEDIA_ROOT
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def traces() -> dict[str, Any]:
    """Return everything that a submission could have written."""
    return {
        "jobs": list(Job.objects.order_by("pk").values()),
        "pictures": list(JobImage.objects.order_by("pk").values()),
        "entries": list(LedgerEntry.objects.order_by("pk").values()),
        "balances": list(User.objects.order_by("pk").values_list("pk", "balance")),
        "files": stored_files(),
    }


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if the block leaves a row, a file or another balance."""
    before = traces()
    yield
    assert traces() == before
