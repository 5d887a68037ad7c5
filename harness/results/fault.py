"""A fault: why a measurement is INVALID, which is neither a pass nor a failure of the service.

INTEGRITY: the record is broken, which no noise does: requests are missing, the witnesses counted differently,
the server restarted. NOISE: the record is whole, but the machine or the generator disturbed the measurement.
"""

import enum
from dataclasses import dataclass

# The reason of a criterion that has no fault of its own.
VOID = "void, as the whole scenario is"
# The text of the fault of a scenario that a key ended.
INTERRUPTED = "interrupted (Ctrl-C)"


class Cause(enum.Enum):
    """The kind of a fault."""

    INTEGRITY = "integrity"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason, as a sentence that names what was found and what was expected."""

    cause: Cause
    text: str
