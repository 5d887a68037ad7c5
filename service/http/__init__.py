"""Bytes on a socket become one request; one answer becomes bytes. Knows no model and no queue.

``server`` listens and stops, ``limits`` bounds all connections together, ``app`` serves the pages for people.
"""
