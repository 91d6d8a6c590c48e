"""The pure heart: what a saga is and how it moves. Imports nothing but the standard library's values."""
