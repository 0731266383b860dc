"""Telegram: the face that most users see."""

from django.apps import AppConfig


class BotConfig(AppConfig):
    name = "botapp"

    def ready(self) -> None:
        from botapp import checks  # noqa: F401  (the checks register themselves)
        from botapp.outbox import receivers
        from jobs.signals import job_finished
        from payments import signals

        job_finished.connect(receivers.job_finished, dispatch_uid="botapp.job_finished")
        signals.payment_succeeded.connect(
            receivers.payment_succeeded, dispatch_uid="botapp.payment_succeeded"
        )
        signals.payment_refunded.connect(receivers.payment_refunded, dispatch_uid="botapp.payment_refunded")
        signals.friend_rewarded.connect(receivers.friend_rewarded, dispatch_uid="botapp.friend_rewarded")
