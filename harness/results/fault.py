"""A fault: why a measurement cannot carry a verdict.

* INTEGRITY: the record is broken. Requests are missing, the witnesses counted differently, the server restarted. No
  noise does that, so even a run on a busy machine can enforce it.
* NOISE: the record is whole, but the machine or the generator disturbed the measurement.

Either makes the verdict INVALID, never a pass and never a failure of the service.
"""

import enum
from dataclasses import dataclass

# What a criterion says that is INVALID for no reason of its own.
VOID = "void, as the whole scenario is"


class Cause(enum.Enum):
    """Why a measurement cannot carry a verdict."""

    INTEGRITY = "integrity"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason, as a sentence that names what was found and what was expected."""

    cause: Cause
    text: str
