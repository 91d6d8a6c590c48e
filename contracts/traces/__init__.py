"""Traces of both ends: where a call stands, spans of servers, and their export over OTLP."""
