"""Files as their vendors publish them become events."""

__all__: list[str] = []
