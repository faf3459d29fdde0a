"""The words of the program: events, instruments, sessions, clocks, operators, errors."""

__all__: list[str] = []
