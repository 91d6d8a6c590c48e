"""``sagactl``: find sagas that need an operator, see why, and repair one or thousands, from a terminal or a script."""
