"""The protocols: Fluent Forward, AgentTaggedData, ingestion payloads; bytes to values and back, with limits. Pure."""
