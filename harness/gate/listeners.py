"""Those who are told how a run goes on: the terminal, and the page in a browser."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tailgate.harness.compare.blocks.standing import Standing
from tailgate.harness.gate.live import Voice
from tailgate.harness.gate.run_page import Progress
from tailgate.harness.observe.beside.under_way import PhaseLoad
from tailgate.harness.results.run import RunResult


class Listeners:
    """Tells each of them all that one of them could be told."""

    def __init__(self) -> None:
        self._all: list[Voice | Progress] = []

    def add(self, one: Voice | Progress) -> None:
        """Tell this one from now on, too."""
        self._all.append(one)

    def tell(self, line: str) -> None:
        """Say what is being done now."""
        for one in self._all:
            one.tell(line)

    def tell_verdict(self, result: RunResult) -> None:
        """Say what the last scenario of a result came to."""
        for one in self._all:
            one.tell_verdict(result)

    @contextmanager
    def watching(self, load: PhaseLoad) -> Iterator[None]:
        """Have a phase followed that is sent within a ``with`` block."""
        with ExitStack() as stack:
            for one in self._all:
                stack.enter_context(one.watching(load))
            yield

    @contextmanager
    def comparing(self, standing: Standing) -> Iterator[None]:
        """Have a comparison followed within a ``with`` block."""
        with ExitStack() as stack:
            for one in self._all:
                stack.enter_context(one.comparing(standing))
            yield
