"""News of jobs for whoever is above: sent inside the transaction that causes it.

A receiver that must tell somebody writes its own outbox row, which then commits or vanishes with the news.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from django.dispatch import Signal

from jobs.models import Job
from qwenedit.lib.compiled import Asked, together

job_finished = Signal()  # job: Job; receivers are as `EndOfJob` wants them
edits_erased = Signal()  # user: User, whose edits have lost their pictures and words: lose what you copied

Receiver = Generator[Asked[Any], Any, None]


class EndOfJob:
    """The news of a job's end, on its way to the receivers of `job_finished`.

    Each receiver is a generator. It yields exactly one statement, whose answer it gets back once the job is
    in its final state: what all of them have to know travels in one message, which may be that of the end.
    """

    def __init__(self, job: Job) -> None:
        sent: Sequence[tuple[object, Any]] = job_finished.send(sender=Job, job=job)
        self._receivers: list[Receiver] = [receiver for _, receiver in sent]
        self.questions = [next(receiver) for receiver in self._receivers]

    def tell(self, answers: Sequence[Any]) -> None:
        """Let the receivers go on, with the answers to `questions`. Raises what they raise."""
        for receiver, answer in zip(self._receivers, answers, strict=True):
            try:
                receiver.send(answer)
            except StopIteration:
                continue
            raise TypeError("A receiver of job_finished asks once.")


def tell_end(job: Job) -> None:
    """Tell of a job that is in its final state."""
    end = EndOfJob(job)
    end.tell(together(*end.questions))
