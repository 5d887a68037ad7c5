"""Bytes on a connection: a request out, an answer in."""
