"""A target that runs already: an address."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tailgate.harness.errors import TargetError
from tailgate.harness.secrecy import basic_authorization
from tailgate.harness.target.readiness import probe, wait_until_ready
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import RunningTarget


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """A server that runs already, at an address."""

    spec: str
    settings: TargetSettings

    def start(self, directory: Path) -> RunningTarget:  # noqa: ARG002 - nothing of it is logged here
        """Wait until it is ready."""
        running = RunningUrl(self.spec, self.settings)
        url = running.base_url + self.settings.readiness_path
        wait_until_ready(
            url,
            self.settings.ready_timeout_s,
            check_alive=lambda: None,
            prefix=running.prefix,
            probe=partial(probe, headers=running.headers),
        )
        return running


class RunningUrl(RunningTarget):
    """A server that somebody else runs."""

    @property
    def base_url(self) -> str:
        """Its address, without the user that it may name."""
        parts = urlsplit(self.spec.rstrip("/"))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Who asks, where the address names a user."""
        info, at, _ = urlsplit(self.spec).netloc.rpartition("@")
        user, _, password = info.partition(":")
        return (("Authorization", basic_authorization(user, password)),) if at else ()

    @property
    def pids(self) -> None:
        """Never visible."""
        return None

    def restart(self) -> None:
        """Refuse."""
        raise TargetError(f"{self.spec} is a server that runs elsewhere: the harness cannot restart it")

    def stop(self) -> None:
        """Leave it alone."""

    def alive(self) -> bool:
        """Tell whether it says that it is ready."""
        try:
            return probe(self.base_url + self.settings.readiness_path, self.headers).is_success
        except httpx.RequestError:
            return False

    def log_tail(self) -> str:
        """Return nothing: its log is elsewhere."""
        return ""
