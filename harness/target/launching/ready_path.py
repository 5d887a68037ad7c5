"""Readiness by a path that answers 2xx, and what to tell of a server that goes on answering something else."""

from collections.abc import Callable

import httpx

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking.client import asking_client, path_of
from tailgate.harness.target.asking.trust import tls_refusal
from tailgate.harness.target.launching.readiness import PROBE_TIMEOUT_S

# How long an answer must stay the same until it is taken for the server's own, and not for that of a server that starts.
SETTLED_S = 3.0
# Nothing is at this path, or nothing that can be got.
NOT_THERE = frozenset({404, 405, 410, 501})
# Where servers say that they are ready, the likeliest first; then what is there once they serve at all.
USUAL_PATHS = (
    *("/health/ready", "/readyz", "/ready", "/health", "/healthz", "/livez", "/health/live", "/ping"),
    *("/v2/health/ready", "/-/ready", "/api/health", "/status", "/openapi.json", "/docs", "/"),
)
BY_CONNECTION = "--perf-readiness-path= for any server that accepts connections"
BY_LOG = "--perf-ready-log=REGEX for a line of its log"

# Of a server that takes a connection and ends it.
OTHER_PROTOCOL = (
    "it takes connections and does not answer in HTTP: if it speaks TLS, start it and give its address, "
    "--perf-target=https://HOST:PORT"
)

Ask = Callable[[str], httpx.Response]


def probe(url: str, client: Callable[[float], httpx.Client] = asking_client) -> httpx.Response:
    """Ask once; any 2xx says that it takes load. Raise httpx.RequestError where there is no answer.

    ``client`` returns one with its timeout, such as :meth:`~tailgate.harness.target.target.RunningTarget.client`.
    """
    with client(PROBE_TIMEOUT_S) as one:
        return one.get(url)


class ReadyPath:
    """A path answers 2xx.

    Attributes:
        base_url: of the server, without a slash at its end.
        prefix: path of that address, for the hint where a redirect leads.
        guessed: nobody has named the path: where nothing is there, waiting for it is in vain.
        otherwise: option for a server that has no such path.
    """

    def __init__(
        self,
        base_url: str,
        path: str,
        ask: Ask = probe,
        tell: Callable[[str], None] = lambda _: None,
        *,
        prefix: str = "",
        guessed: bool = False,
        otherwise: str = BY_CONNECTION,
    ) -> None:
        self._base_url, self._path, self._prefix = base_url, path, prefix
        self._ask, self._tell = ask, tell
        self._guessed, self._otherwise = guessed, otherwise
        self._status: int | None = None  # of the last answers
        self._since_s = 0.0
        self._told = False
        self.unmet = f"{self._url} did not answer 2xx"

    @property
    def _url(self) -> str:
        return self._base_url + self._path

    def look(self, now_s: float) -> str:
        """Ask once. An answer that stays is told once; a certificate that is not trusted is a TargetError at once."""
        try:
            answer = self._ask(self._url)
        except httpx.RequestError as error:
            if refusal := tls_refusal(error):
                raise TargetError(f"{self._url}: {refusal}") from None
            self._status = None
            told = f"there was no answer ({str(error) or type(error).__name__})"
            cut = isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError))
            return f"{told}; {OTHER_PROTOCOL}" if cut and self._url.startswith("http:") else told
        if answer.is_success:
            return ""
        hint = self._hint(answer)
        if answer.status_code != self._status:
            self._status, self._since_s = answer.status_code, now_s
        elif now_s - self._since_s >= SETTLED_S and not self._told:
            self._told = True
            self._settled(answer, hint)
        return f"the last answer was {answer.status_code}{hint}"

    def _settled(self, answer: httpx.Response, hint: str) -> None:
        status = answer.status_code
        if status not in NOT_THERE:
            # 5xx is what a server says that is not ready yet.
            if not answer.is_server_error:
                self._tell(f"{self._url} answers {status}{hint}")
            return
        found = self._usual()
        there = f"2xx at {', '.join(found)}" if found else "2xx at none of the usual paths"
        path = found[0] if found else "PATH"
        text = (
            f"{self._url} answers {status}, and {there}: --perf-readiness-path={path}, or {self._otherwise}"
        )
        if self._guessed:
            raise TargetError(text)
        self._tell(f"{text}; waiting on")

    def _usual(self) -> list[str]:
        found = []
        for path in (one for one in USUAL_PATHS if one != self._path):
            try:
                if self._ask(self._base_url + path).is_success:
                    found.append(path)
            except httpx.RequestError:  # it hangs or is gone: no more of it
                break
        return found

    def _hint(self, answer: httpx.Response) -> str:
        location = answer.headers.get("location", "")
        if location:
            path = path_of(self._url, location, self._prefix)
            return f" to {location}" + ("" if path is None else f": --perf-readiness-path={path}")
        if answer.status_code in {401, 403}:
            return "; --perf-header='NAME: VALUE' is sent with this question too"
        return "; --perf-readiness-path=PATH names another path"
