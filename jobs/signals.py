"""News of jobs for whoever is above: sent inside the transaction that causes it.

A receiver that must tell somebody writes its own outbox row, which then commits or vanishes with the news.
"""

from django.dispatch import Signal

job_finished = Signal()  # job: Job, in a final state
edits_erased = Signal()  # user: User, whose edits have lost their pictures and words: lose what you copied
