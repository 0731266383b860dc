"""The bot in the admin. Django imports this package to find it."""

from botapp.admin import articles, broadcasts, chats, deliveries, orders

__all__ = ["articles", "broadcasts", "chats", "deliveries", "orders"]
