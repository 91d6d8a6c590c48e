"""The saga orchestrator."""

import contracts  # noqa: F401  (before gRPC is loaded, which it tells how much to write)
