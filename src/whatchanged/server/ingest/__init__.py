"""Ingestion: validate, number, deduplicate, group and commit."""

from whatchanged.server.ingest.ingestor import IngestEvents, Ingestor, Stored

__all__ = ["IngestEvents", "Ingestor", "Stored"]
