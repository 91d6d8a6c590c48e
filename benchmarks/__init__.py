"""Sagas per second, latencies and costs, next to a bare client that makes the same calls with no durability."""
