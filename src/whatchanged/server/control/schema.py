"""Tables of the control plane.

Times are whole nanoseconds since 1970 UTC, as everywhere in the records. Secrets are never here, only their SHA-256,
and of passwords, which people choose, what `passwords` makes of them. `migrations/` brings a database to this shape; a
test says that both agree.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "METADATA",
    "accounts",
    "associations",
    "audit",
    "credentials",
    "enrollment_tokens",
    "groups",
    "installation",
    "instances",
    "machines",
    "requests",
    "rule_history",
    "rules",
    "saved_queries",
    "senders",
    "sessions",
    "sign_in_links",
    "tokens",
]

METADATA = MetaData()

installation = Table(
    "installation", METADATA, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False)
)

tokens = Table(
    "tokens",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("machine_groups", Text),  # JSON list; NULL: all groups
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("expires_at", BigInteger),
    Column("sender", String(36)),  # id of the sender that it is for; NULL: a person or program that asks
)

accounts = Table(
    "accounts",
    METADATA,
    Column("key", String(128), primary_key=True),  # the name in lower case
    Column("name", String(128), nullable=False),
    Column("password", String(256), nullable=False),
    Column("role", String(16), nullable=False),
    Column("machine_groups", Text),  # JSON list; NULL: all groups
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
)

# A session or link speaks for an account or for a token, and ends with it.
sessions = Table(
    "sessions",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("account", String(128)),
    Column("token_id", String(32)),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("sessions_by_end", "expires_at"),
)

sign_in_links = Table(
    "sign_in_links",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("account", String(128)),
    Column("token_id", String(32)),
    Column("expires_at", BigInteger, nullable=False),
)

senders = Table(
    "senders",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("rule_id", String(36), nullable=False),  # immutable id; the sender's rows outlive its rule
    Column("machine_group", String(90), ForeignKey("machine_groups.name"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("rule_id", "name", name="senders_by_rule"),
)

groups = Table(
    "machine_groups",
    METADATA,
    Column("name", String(90), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

machines = Table(
    "machines",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("machine_group", String(90), ForeignKey("machine_groups.name"), nullable=False),
    Column("computer", String(256), nullable=False),
    Column("os_type", String(16), nullable=False),
    Column("os_name", String(256), nullable=False),
    Column("vm_uuid", String(64), nullable=False),
    Column("agent_version", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("enrolled_at", BigInteger, nullable=False),
    Column("last_contact", BigInteger, nullable=False),
    Column("silent_since", BigInteger),
    Column("instance", String(36)),
    Column("instance_since", BigInteger),
    Index("machines_by_name", "machine_group", "name"),
)

credentials = Table(
    "credentials",
    METADATA,
    Column("machine_id", String(36), ForeignKey("machines.id"), primary_key=True),
    Column("slot", String(8), primary_key=True),  # "current" or "next"
    Column("hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

instances = Table(
    "instances",
    METADATA,
    Column("machine_id", String(36), ForeignKey("machines.id"), primary_key=True),
    Column("instance", String(36), primary_key=True),
    Column("state", String(16), nullable=False),  # "superseded" or "refused"
    Column("at", BigInteger, nullable=False),
)

enrollment_tokens = Table(
    "enrollment_tokens",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("machine_group", String(90), ForeignKey("machine_groups.name"), nullable=False),
    Column("rules", Text, nullable=False),  # JSON list of rule names
    Column("uses_left", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
)

rules = Table(
    "rules",
    METADATA,
    Column("key", String(256), primary_key=True),  # the name in lower case: ARM compares names without case
    Column("name", String(256), nullable=False),
    Column("immutable_id", String(36), nullable=False, unique=True),
    Column("etag", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

rule_history = Table(
    "rule_history",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(256), nullable=False),
    Column("immutable_id", String(36), nullable=False),
    Column("etag", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Index("rule_history_by_key", "key", "id"),
)

associations = Table(
    "associations",
    METADATA,
    Column("key", String(256), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("rule", String(256), ForeignKey("rules.key"), nullable=False),
    Column("machine_id", String(36), ForeignKey("machines.id")),
    Column("machine_group", String(90), ForeignKey("machine_groups.name")),
    Index("associations_by_machine", "machine_id"),
    Index("associations_by_group", "machine_group"),
)

saved_queries = Table(
    "saved_queries",
    METADATA,
    Column("key", String(256), primary_key=True),  # the name in lower case, as with rules
    Column("name", String(256), nullable=False),
    Column("etag", String(64), nullable=False),
    Column("query", Text, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON list, as the query declares them
    Column("description", Text, nullable=False),
    Column("category", String(128), nullable=False),
    Column("tags", Text, nullable=False),  # JSON list
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(128), nullable=False),
)

requests = Table(
    "requests",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("machine_id", String(36), ForeignKey("machines.id"), nullable=False),
    Column("request", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("rule", String(256), nullable=False),
    Column("document", Text),  # of a preview, until it is answered
    Column("state", String(16), nullable=False),  # "pending", "delivered", "answered"
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("delivered_at", BigInteger),
    Column("answered_at", BigInteger),
    Column("success", Boolean),
    Column("result", Text),
    Index("requests_by_machine", "machine_id", "state"),
)

audit = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(512), nullable=False),
    Column("detail", Text, nullable=False),
)
