"""What the harness raises, and who has to act on it.

::

    HarnessError
    ├── UsageError          an option, a budget or a plugin is wrong: refused before anything runs
    │   ├── BudgetError     the budget file does not say what a scenario asks of it
    │   └── PluginError     a plugin does not load, misspells a hook, or takes a name that is taken
    ├── TargetError         the service under test did not start, died, or cannot be reached
    ├── LoadError           the load generator failed: nothing is known about the service
    └── MeasurementError    samples or metrics are missing or contradict each other

No exception becomes a verdict. A run that ends in one of these has no verdict and fails; where samples were
taken already, the verdict is INVALID and says why.
"""


class HarnessError(Exception):
    """Any failure that the harness can name."""


class UsageError(HarnessError):
    """What was asked for cannot be run as it stands."""


class BudgetError(UsageError):
    """A budget is missing, or its value has no meaning where it is used."""


class PluginError(UsageError):
    """A plugin does not fit: it fails to load, names an unknown hook, or takes somebody else's name."""


class TargetError(HarnessError):
    """The service under test did not become ready, died, or cannot be reached."""


class LoadError(HarnessError):
    """The load generator itself failed."""


class MeasurementError(HarnessError):
    """What was measured is incomplete or contradicts itself."""
