"""What a live program needs of a fitted model: hold it, check it, use it."""

__all__: list[str] = []
