"""Synthetic markets with planted episodes and their ground truth."""

__all__: list[str] = []
