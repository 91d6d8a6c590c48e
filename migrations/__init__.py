"""Schema of every database: one chain of Alembic revisions each, below ``versions/``."""
