"""What one caller may ask of a node at once, so that the others are served all the same."""
