"""Book and trades become numbers."""

__all__: list[str] = []
