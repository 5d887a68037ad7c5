"""The table of errors is what there is."""

import re

from tailgate.service import errors
from tailgate.service.errors import ConfigurationError, RequestError


def test_the_table_of_errors_lists_each_with_its_status_and_no_other():
    listed = dict(re.findall(r"── (\w+) +(\d{3})  ", errors.__doc__))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    there = {kind.__name__: str(kind.status) for kind in kinds if issubclass(kind, RequestError)}
    del there["RequestError"]
    assert listed == there
    others = {kind.__name__ for kind in kinds if issubclass(kind, ConfigurationError)}
    assert all(name in errors.__doc__ for name in others)
