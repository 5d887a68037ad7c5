"""Which of several media types a client likes best (RFC 9110, section 12.5.1)."""

from collections.abc import Collection, Iterable


def preferred(accept: str, offered: Collection[str]) -> str | None:
    """Return what ``Accept`` likes best of the media types that are offered, the first named of equals.

    None where it names none of them. Ranges (``*/*``) name none: a program that takes anything gets the default.
    """
    weights = [
        (kind, weight) for kind, weight in map(_weighed, accept.split(",")) if kind in offered and weight > 0
    ]
    return max(weights, key=lambda each: each[1], default=(None, 0.0))[0]


def _weighed(part: str) -> tuple[str, float]:
    kind, *parameters = part.lower().split(";")
    return kind.strip(), _weight(parameters)


def _weight(parameters: Iterable[str]) -> float:
    """Return the weight among a media type's parameters; nothing that is no weight counts."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
