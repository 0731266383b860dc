"""Webhooks: integrators hear of the end of their edits."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from jobs import signals
        from webhooks import receivers

        signals.job_finished.connect(receivers.job_finished, dispatch_uid="webhooks.job_finished")
        signals.edits_erased.connect(receivers.edits_erased, dispatch_uid="webhooks.edits_erased")
