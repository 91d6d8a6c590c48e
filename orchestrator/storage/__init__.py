"""The store on PostgreSQL: all SQL of the orchestrator. ``PostgresStore`` is its door."""
