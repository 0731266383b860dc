"""Storing pictures under unguessable names, serving them, and deleting what nobody may see any more.

A file is written before the row that names it, so a crash can leave a file without a row, which
`delete_orphans` finds, but never a row whose file is not there. A purge goes the other way, files first: a
crash leaves rows that the next purge finds again, and no picture outlives its time unseen.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import QuerySet

from jobs.models import Job, JobImage
from jobs.states import FINAL
from qwenedit.errors import DomainError
from qwenedit.lib.compiled import Compiled, CompiledInsert
from qwenedit.lib.images import Picture

logger = structlog.get_logger(__name__)

# Longer than any request that is still between writing its file and committing its row.
ORPHAN_AGE = timedelta(hours=1)
PURGE_BATCH = 500


def store(role: JobImage.Role, picture: Picture, *, now: datetime) -> str:
    """Write a picture and return its name: unguessable, in a folder for its day.

    The day lets the search for orphans read a few folders instead of every picture ever stored.
    """
    name = f"{role}s/{now:%Y/%m/%d}/{secrets.token_hex(16)}.{picture.extension}"
    return default_storage.save(name, ContentFile(picture.data))


@contextmanager
def stored(role: JobImage.Role, pictures: Sequence[Picture], *, now: datetime) -> Iterator[list[str]]:
    """Write pictures for the length of a block that commits their rows; delete them if it refuses to.

    A refusal (DomainError) has committed nothing. After any other error the commit may have happened, as
    when its answer was lost: the search for orphans, which asks the rows, decides then.
    """
    names: list[str] = []
    try:
        for picture in pictures:
            names.append(store(role, picture, now=now))
        yield names
    except DomainError:
        delete_files(names)
        raise


def rows(job: Job, role: JobImage.Role, pictures: Sequence[Picture], names: Sequence[str]) -> list[JobImage]:
    """Return the rows of stored pictures, which are to be inserted."""
    return [
        JobImage(
            job=job,
            role=role,
            position=position,
            file=name,
            width=picture.width,
            height=picture.height,
            bytes=len(picture.data),
            sha256=picture.sha256,
        )
        for position, (picture, name) in enumerate(zip(pictures, names, strict=True), start=1)
    ]


inputs = Compiled(lambda job: JobImage.objects.filter(job=job, role=JobImage.Role.INPUT).order_by("position"))
insert = CompiledInsert(JobImage)
insert_once = CompiledInsert(JobImage, once=True)


def read(image: JobImage) -> bytes:
    """Return a picture's bytes."""
    with image.file.open("rb") as file:
        data: bytes = file.read()
    return data


def delete_files(names: Iterable[str]) -> list[str]:
    """Delete files and return those that are gone; one that can not be deleted is left to a later try."""
    return [name for name in names if _delete(name)]


def purge_expired(*, before: datetime) -> int:
    """Delete the pictures of jobs that finished before `before`; return how many pictures went."""
    return purge(JobImage.objects.filter(job__status__in=FINAL, job__finished_at__lt=before))


def purge(images: QuerySet[JobImage]) -> int:
    """Delete pictures, file and row; return how many went. What can not be deleted stays for a later try."""
    images = images.order_by("pk")
    purged = last = 0
    while batch := dict(images.filter(pk__gt=last).values_list("pk", "file")[:PURGE_BATCH]):
        gone = delete_files(batch.values())
        purged += JobImage.objects.filter(pk__in=batch, file__in=gone).delete()[0]
        last = max(batch)
    return purged


def delete_orphans(*, now: datetime, days: int = 3) -> int:
    """Delete files of the last `days` days that no row names, once they are too old to be anybody's work."""
    deleted = 0
    for role in JobImage.Role:
        for age in range(days):
            folder = f"{role}s/{now - timedelta(days=age):%Y/%m/%d}"
            try:
                _, files = default_storage.listdir(folder)
            except FileNotFoundError:
                continue
            names = {f"{folder}/{file}" for file in files}
            names -= set(JobImage.objects.filter(file__in=names).values_list("file", flat=True))
            orphans = [name for name in names if _older_than(name, now - ORPHAN_AGE)]
            deleted += len(delete_files(orphans))
    return deleted


def _delete(name: str) -> bool:
    try:
        default_storage.delete(name)
    except Exception as error:  # every storage has errors of its own
        logger.warning("picture could not be deleted", file=name, reason=str(error))
        return False
    return True


def _older_than(name: str, moment: datetime) -> bool:
    try:
        return default_storage.get_modified_time(name) < moment
    except FileNotFoundError:
        return False
