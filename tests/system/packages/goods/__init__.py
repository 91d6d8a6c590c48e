"""A user's package with a saga that needs no shipping."""
