"""Points and money. Knows users; never edits."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save


class PaymentsConfig(AppConfig):
    name = "payments"

    def ready(self) -> None:
        from payments import ledger, triggers

        post_save.connect(
            ledger.give_initial_balance, sender="users.User", dispatch_uid="payments.initial_balance"
        )
        post_migrate.connect(triggers.install, sender=self, dispatch_uid="payments.triggers")
