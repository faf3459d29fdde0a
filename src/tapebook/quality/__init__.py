"""What is wrong with a recording, told by name and number."""

__all__: list[str] = []
