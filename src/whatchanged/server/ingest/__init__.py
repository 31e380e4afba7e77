"""Ingestion: validate, number, deduplicate, group and commit."""

from whatchanged.server.ingest.ingestor import IngestEvents, Ingestor, Stored, health_line

__all__ = ["IngestEvents", "Ingestor", "Stored", "health_line"]
