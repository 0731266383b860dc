"""What the bot keeps, a room each: what came in, what was ordered, what goes out, what can be read."""

from botapp.models.articles import Article
from botapp.models.chats import AlbumPhoto, Chat, IncomingUpdate
from botapp.models.orders import JobMark, Order, OrderStatus
from botapp.models.outbox import Broadcast, BroadcastStatus, Delivery, DeliveryStatus, Lane

__all__ = [
    "AlbumPhoto",
    "Article",
    "Broadcast",
    "BroadcastStatus",
    "Chat",
    "Delivery",
    "DeliveryStatus",
    "IncomingUpdate",
    "JobMark",
    "Lane",
    "Order",
    "OrderStatus",
]
