"""The lake: events on disk as Parquet by venue, instrument and trade date."""

from tapebook.store.commit import IngestReport
from tapebook.store.lake import Lake, LakeEntry
from tapebook.store.manifest import Source, StoredFile
from tapebook.store.verify import Finding

__all__ = ["Finding", "IngestReport", "Lake", "LakeEntry", "Source", "StoredFile"]
