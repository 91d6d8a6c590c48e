"""A saga coordinator as an application writes one for itself."""
