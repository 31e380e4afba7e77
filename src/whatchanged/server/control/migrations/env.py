"""Alembic's entry: runs the steps on the connection that `database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from whatchanged.server.control.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
context.run_migrations()
