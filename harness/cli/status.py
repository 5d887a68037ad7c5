"""How a command of tailgate ends."""

import enum


class Status(enum.IntEnum):
    """Exit statuses; standard error says why it is not 0."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    UNMEASURED = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130
