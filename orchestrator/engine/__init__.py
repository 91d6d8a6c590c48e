"""Drives the core: dispatch, timers, takeover, group commit. Knows the store and the network only as ports."""
