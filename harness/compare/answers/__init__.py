"""Answers of head, held against those of base to the same payload. In the order of the flow: form, usual, differences, kept."""
