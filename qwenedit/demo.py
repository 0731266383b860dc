"""The user in whose name the local runner makes its one edit, to show that everything works."""

from datetime import datetime

from django.conf import settings
from django.db import transaction

from payments import ledger
from qwenedit.users.models import ApiKey, Scope, User
from qwenedit.users.services import create_api_key, register_api_user

USERNAME = "demo"
EDITS_IN_HAND = 3


@transaction.atomic
def demo_key(*, now: datetime) -> str:
    """Return a fresh key of the demo user, who always has points for a few edits; older keys are revoked."""
    user, _ = register_api_user(username=USERNAME)
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    wanted = EDITS_IN_HAND * settings.EDIT_COST
    if user.balance < wanted:
        ledger.grant(
            user_id=user.pk,
            points=wanted - user.balance,
            key=f"demo:{now.isoformat()}",
            reason="Points to try the service locally",
        )
    ApiKey.objects.usable().filter(user=user, name=USERNAME).update(revoked_at=now)
    _, text = create_api_key(user=user, name=USERNAME, scopes=[Scope.READ, Scope.EDIT])
    return text
