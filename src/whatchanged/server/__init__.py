"""The server: control plane, ingestion, storage, queries and the HTTP interfaces."""
