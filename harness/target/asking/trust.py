"""What an https target is trusted by, and what the harness shows it: all contexts of TLS are made here."""

import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import GateSettings

# A server that is still starting, or a proxy before it, ends connections so; all else stays as it is.
_PASSING = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)


@dataclass(frozen=True)
class Trust:
    """The options on TLS; without any, the certificates of the system count, or those of ``SSL_CERT_FILE``."""

    ca_file: Path | None = None  # the certificates that count in place of the system's
    insecure: bool = False  # verify nothing
    client_cert: Path | None = None  # shown to a server that asks for one
    client_key: Path | None = None  # its private key; None: in the same file

    def context(self) -> ssl.SSLContext:
        """Return the context, the same one each time; raise UsageError for a file that is missing or does not fit."""
        return self._context

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # Made once: reading the system's certificates takes longer than a request.
        context = _trusting(self.ca_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert is not None:
            _show(context, self.client_cert, self.client_key)
        return context


def chosen_trust(settings: GateSettings) -> Trust:
    """Return the trust that the options say; raise UsageError for a file that is missing or does not fit."""
    trust = Trust(settings.ca_file, settings.insecure, settings.client_cert, settings.client_key)
    if trust != Trust():
        trust.context()
    return trust


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise UsageError(f"--perf-ca-file: {_unread(ca_file, error)}, expected certificates in PEM") from None
    if ca_file is not None:
        # As Python 3.13 does it and older ones do not, or the other way round: what the user names is trusted, be it a
        # server's own certificate, and how strictly it keeps to RFC 5280 is no matter of a load test.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except OSError as error:
        raise UsageError(
            f"--perf-client-cert: {_unread(certificate, error)}, expected a certificate in PEM"
        ) from None
    option = "--perf-client-cert" if key is None else "--perf-client-key"
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except _EncryptedError:
        raise UsageError(
            f"{option}: the key in {key or certificate} needs a password; give one without, as openssl pkey writes it"
        ) from None
    except OSError as error:
        told = f"{_unread(key or certificate, error)}, expected a private key in PEM"
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            told = f"the key does not fit the certificate {certificate}"
        hint = "" if key else "; --perf-client-key=FILE names the file of the key"
        raise UsageError(f"{option}: {told}{hint}") from None


class _EncryptedError(Exception):
    """A key that cannot be read without a password."""


def _no_password() -> str:
    # Without this, OpenSSL asks at the terminal.
    raise _EncryptedError


def _unread(file: Path | None, error: OSError) -> str:
    # What OpenSSL says of a file that is no PEM names its own source code.
    why = "it holds none" if isinstance(error, ssl.SSLError) else error.strerror
    return f"cannot read {file}: {why}"


def tls_refusal(error: BaseException) -> str | None:
    """Return why TLS does not come about, with the option that mends it; None where asking again may help.

    The error may be one that another library raised because of it.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None or isinstance(cause, _PASSING):
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        told = cause.verify_message.rstrip(".")
        return (
            f"its certificate is not trusted: {told}; --perf-ca-file=FILE names the certificates to trust it by, and "
            "--perf-insecure verifies none"
        )
    reason = cause.reason or str(cause)
    if reason in _NO_TLS:
        return "it does not speak TLS; is it http:// in place of https://?"
    words = reason.replace("_", " ").lower()
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason or "HANDSHAKE_FAILURE" in reason:
        return f"it refuses the harness's certificate ({words}); --perf-client-cert=FILE names the one that it asks for"
    return f"TLS fails: {words}"
