"""Command line."""

__all__: list[str] = []
