"""Events become books: the L2 ladder by price level and the L3 book by order."""

__all__: list[str] = []
