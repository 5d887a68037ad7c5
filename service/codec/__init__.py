"""Bytes become values, and values become bytes. Pure functions: no socket, no queue, no clock."""
