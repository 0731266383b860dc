"""How jobs that somebody follows look now, read for all of them at once, and what of it is new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from rest_framework.renderers import JSONRenderer

from jobs.estimates import estimates
from jobs.models import Job
from jobs.states import FINAL, JobStatus
from qwenedit.api.serializers import JobSerializer


@dataclass(frozen=True)
class Topic:
    """A job as it is shown under one address of the site, such as `https://edit.example.com`."""

    job_id: int
    site: str


@dataclass(frozen=True)
class Snapshot:
    """A job's JSON at one moment, as fields and as text. Equal ones look the same."""

    fields: Mapping[str, Any] = field(compare=False)
    text: bytes

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Snapshot:
        """Return the snapshot of a serialised job."""
        return cls(fields, JSONRenderer().render(fields))

    @property
    def status(self) -> str:
        """The job's status."""
        return str(self.fields["status"])

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL

    def is_of(self, job: Job) -> bool:
        """Whether a row still says the same, its place in the queue aside."""
        return all(
            self.fields[name] == getattr(job, name) for name in ("status", "progress", "waiting_for_gpu")
        )


@dataclass(frozen=True)
class Site:
    """Stands in for the request that a serializer asks for absolute addresses."""

    address: str

    def build_absolute_uri(self, path: str) -> str:
        """Return the address of a path that begins with a slash."""
        return f"{self.address}{path}"


def snapshot(topic: Topic, job: Job) -> Snapshot:
    """Return how a job looks."""
    return Snapshot.of(JobSerializer(job, context={"request": Site(topic.site)}).data)


def changes(shown: Mapping[Topic, Snapshot | None]) -> dict[Topic, Snapshot | None]:
    """Return the topics that look other than they were shown, if they were; None for a job that is gone.

    For a thread of its own: its database connection is given back.
    """
    try:
        return dict(_changes(shown))
    finally:
        connections.close_all()


def _changes(shown: Mapping[Topic, Snapshot | None]) -> Iterator[tuple[Topic, Snapshot | None]]:
    jobs = Job.objects.only("status", "progress", "waiting_for_gpu", "priority").in_bulk(
        {topic.job_id for topic in shown}
    )
    to_read: dict[str, list[int]] = defaultdict(list)
    waiting: dict[Topic, Snapshot] = {}
    for topic, seen in shown.items():
        job = jobs.get(topic.job_id)
        if job is None:
            yield topic, None
        elif seen is None or not seen.is_of(job):
            to_read[topic.site].append(job.pk)
        elif job.status == JobStatus.QUEUED:
            waiting[topic] = seen
    for site, ids in to_read.items():
        yield from _read(site, ids)
    # Of these only the place in the queue can be another, and that is known without reading them.
    places = estimates(jobs[job_id] for job_id in {topic.job_id for topic in waiting})
    for topic, seen in waiting.items():
        place = places[topic.job_id]._asdict()
        if any(seen.fields[name] != value for name, value in place.items()):
            yield topic, Snapshot.of({**seen.fields, **place})


def _read(site: str, ids: Iterable[int]) -> Iterator[tuple[Topic, Snapshot]]:
    jobs = Job.objects.filter(pk__in=ids).select_related("preset").prefetch_related("images")
    for fields in JobSerializer(jobs, many=True, context={"request": Site(site)}).data:
        yield Topic(fields["id"], site), Snapshot.of(fields)
