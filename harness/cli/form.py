"""How ``report`` and ``judge`` write a run."""

import enum


class Format(enum.Enum):
    """How a report is written."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
