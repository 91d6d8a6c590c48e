"""Temporal: a server that keeps histories, and workers that poll it for tasks."""
