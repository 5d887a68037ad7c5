"""What a check comes to."""

import enum
from dataclasses import dataclass


class State(enum.Enum):
    """What a check came to."""

    OK = "ok"
    REMARK = "remark"
    FAIL = "fail"  # something will fail


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor."""

    name: str
    state: State
    found: str
    mend: str = ""


Judged = tuple[State, str, str]
