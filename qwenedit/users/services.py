"""Writes about accounts and keys."""

import secrets
from collections.abc import Sequence

from django.db import IntegrityError

from qwenedit.users.models import SHOWN_KEY_LENGTH, ApiKey, User, every_scope, key_digest, new_key_text


def register_telegram_user(
    *, telegram_id: int, first_name: str = "", language: str = "en"
) -> tuple[User, bool]:
    """Return the user with that Telegram id and whether they are new; two calls at once make one user."""
    username = f"telegram-{telegram_id}"
    # The second name is for whoever finds the first one taken by an account without a Telegram id.
    for free_name in (username, f"{username}-{secrets.token_hex(4)}"):
        user = User.objects.filter(telegram_id=telegram_id).first()
        if user is not None:
            return user, False
        new = User(
            telegram_id=telegram_id,
            username=free_name,
            first_name=first_name[:150],
            language=User.Language.RUSSIAN if language.startswith("ru") else User.Language.ENGLISH,
        )
        new.set_unusable_password()
        try:
            new.save()
        except IntegrityError:
            continue
        return new, True
    return User.objects.get(telegram_id=telegram_id), False


def register_api_user(*, username: str) -> tuple[User, bool]:
    """Return the user of that name and whether they are new. A new one has no password, only keys.

    Raises ValidationError where the name is none that a user may have.
    """
    username = User.normalize_username(username)
    user = User.objects.filter(username=username).first()
    if user is not None:
        return user, False
    new = User(username=username)
    new.clean_fields(exclude=["password"])
    new.set_unusable_password()
    try:
        new.save()
    except IntegrityError:
        return User.objects.get(username=username), False
    return new, True


def create_api_key(*, user: User, name: str = "", scopes: Sequence[str] = ()) -> tuple[ApiKey, str]:
    """Make a key; return its row and its text, which can not be shown again."""
    text = new_key_text()
    key = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=text[:SHOWN_KEY_LENGTH],
        digest=key_digest(text),
        scopes=list(scopes) or every_scope(),
    )
    return key, text
