"""Draws the results; runs in an environment of its own, with matplotlib."""
