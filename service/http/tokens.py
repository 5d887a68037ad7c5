"""Bearer tokens: who may use the service, and the middleware that turns strangers away.

The middleware guards everything that the application serves but the health endpoints. A connection passes a request to the
model only with a known token (:meth:`tailgate.service.http.site.Site.exchange`); any other goes to the application and is
refused by the middleware, so that there is one refusal.

Tokens are read once, at the start: put the next one into the file beside the current one, restart, change the clients,
take the old one out, restart. They are kept as digests, and no answer, log, metric or error holds one.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tailgate.service.errors import ConfigurationError, Outcome
from tailgate.service.metrics import Metrics
from tailgate.service.settings import Settings

# RFC 6750, section 2.1: b64token. 16 characters of it are 96 bits when they are random.
TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
MIN_TOKEN_CHARACTERS = 16

# A probe has no token, and learns only whether requests are taken.
OPEN_PATHS = frozenset(
    {
        *("/health/live", "/livez", "/healthz", "/v2/health/live"),
        *("/health/ready", "/readyz", "/v2/health/ready"),
        "/ping",
    }
)
METRICS_PATH = "/metrics"
UNKNOWN = "this service takes requests with a known token only: Authorization: Bearer TOKEN"


class Tokens:
    """The tokens that are known, as SHA-256 digests."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = tuple({hashlib.sha256(token.encode()).digest() for token in tokens})

    def admit(self, authorization: bytes | None) -> bool:
        """Tell whether the value of ``Authorization`` holds a known token; None where there is none.

        All digests are compared, each in constant time, so that the time says nothing about any token.
        """
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        digest = hashlib.sha256(token.strip(b" ")).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the value of ``Authorization``, None where there is none or where there are several."""
    values = [value for name, value in headers if name == b"authorization"]
    return values[0] if len(values) == 1 else None


def load_tokens(settings: Settings) -> Tokens | None:
    """Return the tokens that the settings name, None where they name none and everybody may use the service.

    Raises:
        ConfigurationError: the file cannot be read or holds none, or one is not a token; the text never holds it.
    """
    tokens = []
    if settings.token is not None:
        tokens.append(_checked(settings.token.get_secret_value(), "TAILGATE_TOKEN"))
    if settings.tokens_file is not None:
        tokens += _tokens_in(settings.tokens_file)
    return Tokens(tokens) if tokens else None


def _tokens_in(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ConfigurationError(f"TAILGATE_TOKENS_FILE: cannot read {path}: {reason}") from None
    stripped = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, start=1)]
    tokens = [
        _checked(text, f"TAILGATE_TOKENS_FILE: {path}, line {number}") for number, text in stripped if text
    ]
    if not tokens:
        raise ConfigurationError(
            f"TAILGATE_TOKENS_FILE: {path} holds no token; put one per line into it, or unset the variable to let everybody in"
        )
    return tokens


def _checked(token: str, where: str) -> str:
    if TOKEN.fullmatch(token) is None:
        raise ConfigurationError(
            f"{where}: expected letters, digits and - . _ ~ + / with = at the end (RFC 6750), got another character"
        )
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ConfigurationError(
            f"{where}: expected {MIN_TOKEN_CHARACTERS} characters or more, got {len(token)}; "
            "`openssl rand -hex 32` makes a good one"
        )
    return token


class RequireToken:
    """ASGI middleware that answers 401 unless a known token comes.

    RFC 6750, section 3.1: a wrong token is 401 with ``error="invalid_token"``, as a missing one is 401 without a reason;
    403 is for a token that is known and may not do this, and here every token may do everything.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, metrics: Metrics, *, metrics_open: bool) -> None:
        self._app = app
        self._tokens = tokens
        self._metrics = metrics
        self._open = OPEN_PATHS | {METRICS_PATH} if metrics_open else OPEN_PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; answer the rest."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._open):
            await self._app(scope, receive, send)
            return
        given = authorization(scope["headers"])
        if self._tokens.admit(given):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            self._metrics.count(Outcome.UNAUTHORIZED)
            challenge = 'Bearer realm="tailgate"' + ("" if given is None else ', error="invalid_token"')
            refusal = JSONResponse({"error": UNKNOWN}, 401, {"www-authenticate": challenge})
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # RFC 6455, section 7.4.1: policy violation
