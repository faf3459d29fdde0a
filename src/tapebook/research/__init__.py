"""Fitting and studies: everything that looks at a whole sample, above what it could leak into."""

__all__: list[str] = []
