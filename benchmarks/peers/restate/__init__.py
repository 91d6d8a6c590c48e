"""Restate: a server that keeps a journal for handlers which it calls over HTTP/2."""
