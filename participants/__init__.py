"""Participants: the kit that makes a handler safe to call again, and the three services built on it."""
