"""The options of one run, each declared as a field, and refused where they have no meaning together.

Every pytest session on the machine loads this module, so it imports nothing heavy.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from tailgate.harness.errors import UsageError
from tailgate.harness.options import headers, values
from tailgate.harness.options.table import (
    Answers,
    Enforce,
    OnInconclusive,
    Option,
    Pin,
    declared,
    in_folder,
    source_in_folder,
)
from tailgate.harness.profiles import PROFILES, Profile

# What a launched service reads.
SERVICE_PREFIX = "TAILGATE_"
# Far beyond any run, and far below what timers refuse.
LONGEST_S = 1_000_000.0
LONGEST_MINUTES = 10_080.0


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The options of one run, parsed: ``--perf-NAME``, or the ini key ``perf_NAME``, for each but the first four."""

    root: Path  # folder of the project, where budgets are looked for
    # Names of the options that the command line says; the ini file says the others, or nobody.
    given: frozenset[str]
    ini_folder: Path | None  # where the ini file lies that says something; None without one
    said_in_ini: frozenset[str]  # names of the options that it says, and the command line does not
    target: str = declared(
        "service",
        "what is measured: service, service:KEY=VALUE,…, command:LINE, http://host:port, unix:/PATH; haproxy:N: or envoy:N: before service or command makes a fleet",
    )
    env: tuple[str, ...] = declared(
        (),
        "KEY=VALUE for the environment of a target that is launched; may be repeated",
        parse=values.assignment,
    )
    base_env: tuple[str, ...] = declared(
        (), "the same for base alone, in a comparison; may be repeated", parse=values.assignment
    )
    head_env: tuple[str, ...] = declared(
        (), "the same for head alone, in a comparison; may be repeated", parse=values.assignment
    )
    set_up: str | None = declared(
        None,
        "command that runs before each start of a target; TAILGATE_ARM says which side it is, base or head",
        parse=values.command_line,
    )
    reset: str | None = declared(
        None,
        "command that runs before each scenario or block, once the target is ready; TAILGATE_URL is its address",
        parse=values.command_line,
    )
    tear_down: str | None = declared(
        None, "command that runs after each end of a target", parse=values.command_line
    )
    scenario: tuple[str, ...] = declared((), "run only this scenario; may be repeated")
    profile: str = declared("default", "how much evidence is gathered", choices=tuple(PROFILES))
    budgets: Path | None = declared(
        None,
        "budgets file; default: budgets.toml in the project's top folder, or [tool.tailgate.budgets] in pyproject.toml",
        parse=values.path,
        anchor=in_folder,
    )
    budget: tuple[str, ...] = declared(
        (),
        "KEY=QUANTITY or SCENARIO:KEY=QUANTITY, such as p95=80 ms or steady:rate=20 /s; overrides the budgets file; may be "
        "repeated",
        parse=values.budget,
    )
    request: str = declared(
        "POST /predict",
        "METHOD PATH of every request that has none of its own; the path may have a query",
        parse=values.request_line,
    )
    header: tuple[str, ...] = declared(
        (),
        "NAME: VALUE sent with every request, readiness probe and scrape; $VARIABLE is taken from the environment; may be "
        "repeated",
        parse=values.header,
    )
    payloads: str = declared(
        "photos",
        "what is sent: photos, pixels:SIDE, body:TEXT, file:PATH, dir:PATH, lines:PATH with one body per line, or oip: for "
        "tensors made from the server's metadata",
        anchor=source_in_folder,
    )
    requests: Path | None = declared(
        None,
        "file of requests, instead of --perf-request and --perf-payloads: JSON lines, or text with METHOD PATH, headers and "
        "@BODY-FILE",
        parse=values.path,
        anchor=in_folder,
    )
    expect: tuple[str, ...] = declared(
        (),
        "what a right answer is: status=200, json:$.label=cat, json:$.score=0.9~0.01, contains:TEXT, matches:REGEX, or same "
        "as the first answer; may be repeated",
    )
    answers: Answers = declared(
        Answers.GATE,
        "what happens if head's answers differ from base's: gate fails the comparison, report only reports it, off does not "
        "compare them",
    )
    answer_tolerance: float | None = declared(
        None,
        "how far numbers in answers may differ, as a share; default: as far as base's own numbers differ from each other",
        parse=values.number("a share", 0, 1),
    )
    answer_ignore: tuple[str, ...] = declared(
        (),
        "place in JSON answers that is not compared, such as $.id or $.items[*].time; may be repeated",
        parse=values.json_place,
    )
    ca_file: Path | None = declared(
        None, "file of certificates by which an https target is trusted", parse=values.path, anchor=in_folder
    )
    insecure: bool = declared(False, "do not verify the certificate of an https target")
    client_cert: Path | None = declared(
        None, "certificate that the harness shows to an https target", parse=values.path, anchor=in_folder
    )
    client_key: Path | None = declared(
        None,
        "private key of --perf-client-cert; default: in the same file",
        parse=values.path,
        anchor=in_folder,
    )
    plugin: tuple[Path, ...] = declared(
        (), "Python file with hooks of tailgate; may be repeated", parse=values.path, anchor=in_folder
    )
    seed: int | None = declared(
        None, "seed of the arrivals; default: a new one for each run, which is printed", parse=values.whole(0)
    )
    output: Path = declared(
        Path(".perf"), "folder for results and raw samples", parse=values.path, anchor=in_folder
    )
    keep: int = declared(
        20,
        "how many runs to keep in the folder for results; older ones are removed at the end of a run",
        parse=values.whole(1),
    )
    against: str | None = declared(
        None,
        "compare with this instead of checking budgets: a git revision, . for the working tree, or a target in the form of "
        "--perf-target",
    )
    head: str = declared(
        ".", "what is compared with --perf-against, in the same forms; default: the working tree"
    )
    against_python: Path | None = declared(
        None,
        "interpreter for the revision compared with, if its dependencies differ; default: this one",
        parse=values.path,
        anchor=in_folder,
    )
    time_limit: float = declared(
        18.0,
        "minutes that the blocks of one comparison may take",
        parse=values.number("minutes", 0, LONGEST_MINUTES),
    )
    blocks: int | None = declared(
        None,
        "most blocks that one comparison may take, not fewer than its first look needs; default: as many as its design has",
        parse=values.whole(1),
    )
    lens: tuple[str, ...] = declared(
        (),
        "change a lens of a comparison: p95=8% sets its tolerance, p95.margin=1% its margin, memory=gate lets it count, "
        "p99=report only reports it; may be repeated",
    )
    inconclusive: OnInconclusive = declared(
        OnInconclusive.FAIL, "what an INCONCLUSIVE scenario does to its test"
    )
    enforce: Enforce = declared(
        Enforce.BUDGETS,
        "budgets: a budget that does not hold fails the test; measurement: only a broken measurement does, for machines "
        "whose speed is unknown",
    )
    confidence: float = declared(
        0.99,
        "one minus the share of runs that may pass falsely, and of those that may fail falsely",
        parse=values.number("a share", 0.5, 1, below=True),
    )
    generators: str | None = declared(
        None,
        "generators that share the load: processes:N, ssh:HOST,HOST=PYTHON,…; default: one process on this machine",
        parse=values.text,
    )
    pin: Pin = declared(Pin.AUTO, "auto: the generator gets a processor of its own if there are four or more")
    processors: int | None = declared(
        None,
        "processors that both servers of a comparison share, 0 for all; default: as the load says, which is one for compare",
        parse=values.whole(0),
    )
    live: int | None = declared(
        None,
        "port of this machine on which a browser can watch the run; without a value a free port, which is printed",
        parse=values.whole(0, 65_535),
        bare="0",
    )
    require_device: bool = declared(
        False, "fail, instead of skipping, if TAILGATE_DEVICE=cuda and there is no CUDA"
    )
    readiness_path: str = declared(
        "/health/ready",
        "path that answers 2xx once the target is ready for load; empty: it is ready once it accepts a connection",
        parse=values.url_path_or_none,
    )
    ready_log: str | None = declared(
        None,
        "regular expression; a launched target is ready for load once a line of its log matches",
        parse=values.regex,
    )
    metrics_path: str = declared(
        "/metrics",
        "path of the target's Prometheus metrics, or :PORT/PATH, or their whole address; empty: it has none",
        parse=values.metrics_place,
    )
    metric: tuple[str, ...] = declared(
        (),
        "NAME=THEIRS: what the target calls a metric, such as request_seconds=http_seconds; nothing after the equals "
        'sign: it has none; {LABEL="VALUE",…} after a name chooses among its series; may be repeated',
        parse=values.assignment,
    )
    ready_timeout: float = declared(
        180.0, "seconds that a target may take to become ready", parse=values.number("seconds", 0, LONGEST_S)
    )
    request_timeout: float = declared(
        30.0,
        "seconds after which a request without an answer has failed",
        parse=values.number("seconds", 0, LONGEST_S),
    )

    def __post_init__(self) -> None:
        """Refuse options that have no meaning together."""
        if self.against is None and "head" in self.given:
            raise UsageError(f"--perf-head={self.head} is compared with nothing; give --perf-against as well")
        if self.insecure and self.ca_file is not None:
            raise UsageError(
                f"--perf-insecure verifies no certificate, so that --perf-ca-file={self.ca_file} says nothing; leave one out"
            )
        if self.client_key is not None and self.client_cert is None:
            raise UsageError(
                f"--perf-client-key={self.client_key} is the key of no certificate; give --perf-client-cert as well"
            )
        for name in ("base-env", "head-env"):
            if self.against is None and name in self.given:
                raise UsageError(
                    f"--perf-{name} is for one side of a comparison, and nothing is compared; give --perf-against as "
                    "well, or --perf-env for the one target"
                )

    @property
    def gathered(self) -> Profile:
        """The profile itself."""
        return PROFILES[self.profile]

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for a launched target."""
        return values.pairs(self.env)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers of every request, with the values of variables; raise UsageError for one that is not set."""
        return headers.expanded(self.header, os.environ, "--perf-header")

    def environment_of(self, arm: str) -> Mapping[str, str]:
        """Variables for a launched target of a comparison, ``base`` or ``head``; its own win."""
        return values.pairs((*self.env, *(self.base_env if arm == "base" else self.head_env)))

    def launch_folder(self, name: str) -> Path | None:
        """Return where the target runs that an option names: beside the ini file that says it, else None for here."""
        return self.ini_folder if name in self.said_in_ini else None

    def variable(self, name: str) -> str | None:
        """Return a variable as the launched target will see it."""
        return self.environment.get(name, os.environ.get(name))


OPTIONS: tuple[Option, ...] = tuple(
    Option(one.name.replace("_", "-"), one.default, **one.metadata)
    for one in fields(GateSettings)
    if one.metadata
)
