"""A launch: the command line of a server under test, where it listens, and when it is ready and ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tailgate.harness.errors import UsageError


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started and ended.

    In the command and in the environment's values ``{fd}`` stands for the number of an inherited, listening socket,
    ``{port}`` for the port, and ``{socket}`` for the path of a Unix socket that the server makes in a folder of its own.
    With ``{port}`` alone the port is reserved and given up just before the server starts; another program can take it in
    between, so use ``{fd}`` where the server can inherit. ``{metrics_port}`` is a second port, for its metrics, reserved in
    the same way.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)  # variables added to those of this process
    directory: Path | None = None  # where it runs; None for the current directory
    # Answers 2xx once the server takes load; None: it does once it accepts a connection.
    readiness_path: str | None = "/health/ready"
    ready_timeout_s: float = 120.0
    stop_timeout_s: float = 30.0  # from TERM to KILL: the time that it has to drain
    headers: tuple[tuple[str, str], ...] = ()  # of the questions whether it is ready
    readiness_guessed: bool = False  # nobody has named the readiness path
    ready_log: str | None = None  # regular expression that a line of its log must match as well
    tell: Callable[[str], None] = field(
        default=lambda _: None, compare=False, repr=False
    )  # while it is waited for

    def __post_init__(self) -> None:
        """Refuse a command that cannot be told where to listen, and times that never end."""
        if not self.command:
            raise UsageError("the command of a target is empty; give a program and its arguments")
        named = [one for one in ("{port}", "{fd}", "{socket}") if self.names(one)]
        if not named:
            raise UsageError(
                f"the command {' '.join(self.command)!r} is told neither {{port}} nor {{fd}} nor {{socket}}, so it cannot "
                "know where to listen; put one of them into the command or into its environment"
            )
        if "{socket}" in named and len(named) > 1:
            raise UsageError(
                f"the command {' '.join(self.command)!r} is told both {{socket}} and {named[0]}: it is asked at one of "
                "them only; leave the other out"
            )
        if self.readiness_path is None and self.ready_log is None and self.names("{fd}"):
            raise UsageError(
                f"the command {' '.join(self.command)!r} inherits a socket that listens before the server is there, so that "
                "a connection says nothing of its being ready: put {port} in place of {fd}, or give --perf-readiness-path=PATH "
                "or --perf-ready-log=REGEX"
            )
        if not (0 < self.ready_timeout_s < float("inf") and 0 <= self.stop_timeout_s < float("inf")):
            raise UsageError(
                f"the target's times must be positive and finite, got ready_timeout_s={self.ready_timeout_s}, "
                f"stop_timeout_s={self.stop_timeout_s}"
            )

    def names(self, placeholder: str) -> bool:
        """Tell whether the command or its environment holds a placeholder."""
        return any(placeholder in text for text in (*self.command, *self.environment.values()))
