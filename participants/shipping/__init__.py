"""Parcels: created, cancelled, handed over to a carrier."""
