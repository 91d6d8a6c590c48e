"""Sagas that only the chaos runs: brisk in their retries, or faulty on purpose."""
