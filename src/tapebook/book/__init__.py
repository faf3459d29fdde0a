"""Events become books: the L2 ladder by price level and the L3 book by order."""

from tapebook.book.best import BestBook
from tapebook.book.ladder import Ladder
from tapebook.book.memory import Level
from tapebook.book.orders import OrderBook, QueuePosition, RestingOrder
from tapebook.book.snapshots import Snapshots, Touch, level_columns
from tapebook.book.statistics import BookStatistics

__all__ = [
    "BestBook",
    "BookStatistics",
    "Ladder",
    "Level",
    "OrderBook",
    "QueuePosition",
    "RestingOrder",
    "Snapshots",
    "Touch",
    "level_columns",
]
