"""The lake: events on disk as Parquet by venue, instrument and trade date."""

__all__: list[str] = []
