"""What can be set: ``declared`` in one table, and ``reading`` it from the environment and the command line."""

from tailgate.service.settings.declared import LARGEST_CHOSEN_BATCH, NonFinite, Precision, Settings
from tailgate.service.settings.reading import PREFIX, load_settings, log_format_of, meaning, unknown_variables

__all__ = [
    "LARGEST_CHOSEN_BATCH",
    "PREFIX",
    "NonFinite",
    "Precision",
    "Settings",
    "load_settings",
    "log_format_of",
    "meaning",
    "unknown_variables",
]
