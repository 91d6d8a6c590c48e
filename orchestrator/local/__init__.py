"""A complete stack on one machine: embedded PostgreSQL, orchestrator nodes and participants."""
