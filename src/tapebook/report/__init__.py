"""The main job: a recording becomes tables, one HTML page and JSON."""

__all__: list[str] = []
