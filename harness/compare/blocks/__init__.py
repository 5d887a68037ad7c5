"""Blocks: both arms freshly started and loaded by turns, and what a block showed as one row of numbers."""
