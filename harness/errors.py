"""What the harness raises, and who has to act on it.

No exception becomes a verdict: a run that ends in one has none, and fails. Where samples were taken already, the
verdict is INVALID and says why.
"""


class HarnessError(Exception):
    """Any failure that the harness can name."""


class UsageError(HarnessError):
    """An option, a budget or a plugin is wrong: refused before anything runs."""


class BudgetError(UsageError):
    """A budget is missing, or its value has no meaning where it is used."""


class PluginError(UsageError):
    """A plugin does not load, names an unknown hook, or takes a name that is taken."""


class TargetError(HarnessError):
    """The service under test did not become ready, died, or cannot be reached."""


class LoadError(HarnessError):
    """The load generator itself failed: nothing is known about the service."""


class MeasurementError(HarnessError):
    """Samples or metrics are missing or contradict each other."""
