"""A user's own package of definitions, as a node finds it on its path."""
