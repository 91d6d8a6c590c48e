"""The saga orchestrator."""
