"""What a client likes best, by the weights in ``Accept`` and ``Accept-Encoding`` (RFC 9110, section 12.4.2)."""

from collections.abc import Collection


def preferred(accept: str, offered: Collection[str]) -> str | None:
    """Return what ``Accept`` likes best of the media types that are offered, the first named of equals.

    None where it names none of them. Ranges (``*/*``) name none: a program that takes anything gets the default.
    """
    choices = [each for each in weighed(accept) if each[0] in offered and each[1] > 0]
    return max(choices, key=lambda each: each[1], default=(None, 0.0))[0]


def weighed(accept: str) -> list[tuple[str, float]]:
    """Return each choice of a header in lower case, with its weight; 0 for a weight that is no number."""
    return [_weighed(*part.lower().split(";")) for part in accept.split(",")]


def _weighed(choice: str, *parameters: str) -> tuple[str, float]:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return choice.strip(), float(value)
            except ValueError:
                return choice.strip(), 0.0
    return choice.strip(), 1.0
