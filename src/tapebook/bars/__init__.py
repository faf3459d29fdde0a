"""Trades become bars and footprint cells."""

__all__: list[str] = []
