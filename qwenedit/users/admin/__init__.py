"""Accounts and their keys in the admin. Django imports this package to find them."""

from qwenedit.users.admin import keys, users

__all__ = ["keys", "users"]
