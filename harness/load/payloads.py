"""The payloads of a run's sources. Some only the running target can tell; their bodies are empty until it has been asked."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from tailgate.harness.errors import TargetError
from tailgate.harness.scenario.payloads.inference import BINARY_EXTENSION, KIND, path_of, tensor_payloads
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.target.target import RunningTarget

TIMEOUT_S = 10.0


class Payloads:
    """Gives the payloads of a source, each read once.

    Args:
        read: gives those of a source, as a plugin knows them.
        settle: adds what the options say of each.
    """

    def __init__(
        self, read: Callable[[str], Sequence[Payload]], settle: Callable[[Payload], Payload]
    ) -> None:
        self._read = read
        self._settle = settle
        self._known: dict[str, Sequence[Payload]] = {}
        self._asked: set[str] = set()

    def __call__(self, source: str) -> Sequence[Payload]:
        """Return the payloads of a source."""
        if source not in self._known:
            self._known[source] = [self._settle(payload) for payload in self._read(source)]
        return self._known[source]

    def ask(self, running: RunningTarget) -> None:
        """Ask a target for what only it can tell, once in a run; TargetError where it does not say."""
        for source in self._known:
            kind, _, model = source.partition(":")
            if kind == KIND and source not in self._asked:
                self._known[source] = [self._settle(payload) for payload in told_by(running, model)]
                self._asked.add(source)


def told_by(running: RunningTarget, model: str) -> Sequence[Payload]:
    """Return requests of tensors for a model, or for the first that a server of the Open Inference Protocol lists."""
    with running.client(TIMEOUT_S) as client:

        def asked(method: str, path: str) -> Any:
            try:
                answer = client.request(method, running.base_url + path)
                if answer.status_code == httpx.codes.OK:
                    return answer.json()
                got = f"{answer.status_code} {answer.text[:100]}"
            except (httpx.HTTPError, ValueError) as error:
                got = str(error)
            raise TargetError(
                f"--perf-payloads={KIND}:{model}: {method} {path}: expected JSON of the Open Inference Protocol, got {got}"
            )

        if not model:
            listed = asked("POST", "/v2/repository/index")
            if not listed:
                raise TargetError(
                    f"--perf-payloads={KIND}: the server lists no model; name one: {KIND}:MODEL"
                )
            model = listed[0]["name"]
        binary = BINARY_EXTENSION in asked("GET", "/v2").get("extensions", ())
        return tensor_payloads(asked("GET", path_of(model)), binary=binary)
