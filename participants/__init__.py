"""Participants: the kit that makes a handler safe to call again, and the three services built on it."""

import contracts  # noqa: F401  (before gRPC is loaded, which it tells how much to write)
