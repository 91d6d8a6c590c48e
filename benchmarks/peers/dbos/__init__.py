"""DBOS: durable functions in the application, checkpointed to PostgreSQL by a library."""
