"""Definitions that exist to be measured."""
