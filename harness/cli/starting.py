"""The commands that start something: a service, the gate, a comparison, a calibration."""

from pathlib import Path
from typing import Annotated

import typer

from tailgate.harness.cli.help import PASSED_ON, Command, ServiceCommand, WordsCommand, takes_gate_options

RUN = """
tailgate run                                                       # the project's target, by its budgets
tailgate run 'python app.py --port {port}' --request='POST /score' --payloads=file:body.json
tailgate run http://localhost:8000 --request='GET /items/7' --scenario=steady --profile=smoke \\
    --budget='rate=20 /s' --budget='p95=80 ms' --budget=error_rate=0
tailgate run --profile=smoke --enforce=measurement                 # two to three minutes: fails on what is broken
"""
COMPARE = """
tailgate compare main                          # the working tree against a revision
tailgate compare v1.2 v1.3                     # two revisions
tailgate compare . .                           # the working tree against itself: how noisy is this machine?
tailgate compare service service:MAX_WAIT_MS=5 --time-limit=5
"""
INIT = """
tailgate init                                  # finds a FastAPI, Starlette or Flask application
tailgate init 'python app.py --port {port}'
tailgate init http://localhost:8000 --request='POST /score' --payloads=file:body.json
tailgate init --plugin my-load                 # a package with a scenario of its own, in the folder my-load
"""
CALIBRATE = """
tailgate calibrate                             # ten minutes of blocks
tailgate calibrate --minutes=3 --scenario=steady
tailgate calibrate --from=.perf/RUN --json     # from a kept comparison of code with itself
"""
DRILL = """
tailgate drill                                 # the present commit, if it is drawn: 1 of 10 is
tailgate drill --case=all-5                    # now, and this case
"""
SERVE = """
tailgate serve                                 # the demo model on http://127.0.0.1:8000
tailgate serve --model=torchvision:resnet18 --port=9000
TAILGATE_PRECISION=bf16 tailgate serve         # each option is an environment variable, too
"""
COMPILE = """
tailgate compile                               # the demo model; the service then takes the faster version
tailgate compile --model=torchvision:resnet18 --threads=3
"""

Minutes = Annotated[float, typer.Option(help="Minutes of blocks.", min=0.1)]
From = Annotated[
    list[Path] | None,
    typer.Option("--from", help="Folder of a kept comparison of code with itself; may be repeated."),
]
Into = Annotated[Path | None, typer.Option(help="Folder for the results; default: that of the run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]

app = typer.Typer(rich_markup_mode=None)


@app.command("run", cls=WordsCommand, epilog=RUN)
@takes_gate_options("target")
def _run(
    context: typer.Context,
    _: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET]",
            help="A command line with {port} or {fd}, http://host:port, unix:/PATH, or service:KEY=VALUE,…; default: the "
            "project's perf_target, or tailgate's own service.",
        ),
    ] = None,
    **__: object,
) -> None:
    """Put load on a service, and check its budgets: the gate.

    This runs pytest: any option of pytest may follow, and the project's pytest settings apply. An option may also be written
    --perf-NAME, as for pytest.

    Exit status: 0 PASS, 1 FAIL, 2 it cannot be run as asked, 3 it could not be measured, 4 INCONCLUSIVE, 130 interrupted. A
    verdict that --inconclusive or --enforce lets pass is 0.
    """
    from tailgate.harness.cli.run import run

    raise typer.Exit(run(context.args))


@app.command("compare", cls=WordsCommand, epilog=COMPARE)
@takes_gate_options("against", "head")
def _compare(
    context: typer.Context,
    _: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BASE [HEAD]",
            help="A git revision, . for the working tree as it is (HEAD's default), or a target: service:KEY=VALUE,…, "
            "command:LINE, http://host:port, unix:/PATH.",
        ),
    ] = None,
    **__: object,
) -> None:
    """Compare two revisions or targets under the same load on this machine.

    This runs pytest: any option of pytest may follow, and the project's pytest settings apply. An option may also be written
    --perf-NAME, as for pytest.

    Exit status: 0 PASS, 1 FAIL, 2 it cannot be run as asked, 3 it could not be measured, 4 INCONCLUSIVE, 130 interrupted. A
    verdict that --inconclusive or --enforce lets pass is 0.
    """
    from tailgate.harness.cli.run import compare

    raise typer.Exit(compare(context.args))


@app.command("init", cls=WordsCommand, epilog=INIT)
@takes_gate_options("target", "plugin")
def _init(
    context: typer.Context,
    _: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMMAND-LINE | ADDRESS]",
            help="A command line with {port} or {fd}, or http://host:port; default: the application that is found here.",
        ),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    plugin: Annotated[
        str | None,
        typer.Option("--plugin", metavar="NAME", help="Make a package for a plugin of this name instead."),
    ] = None,
    **__: object,
) -> None:
    """Set the gate up for the project in this folder.

    It starts the service, finds its readiness path, its metrics and one request that is answered with 2xx, measures once, and
    writes budgets.toml, pytest's settings, a test, a workflow, and a line into .gitignore. It replaces no file without
    --force. Options say what it cannot find out.
    """
    from tailgate.harness.cli.init import init
    from tailgate.harness.cli.init_plugin import make_plugin

    if plugin is not None:
        raise typer.Exit(make_plugin(plugin, context.args, force=force))
    raise typer.Exit(init(context.args, force=force))


@app.command("calibrate", cls=Command, context_settings=PASSED_ON, epilog=CALIBRATE)
def _calibrate(
    context: typer.Context,
    minutes: Minutes = 10.0,
    from_: From = None,
    into: Into = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Measure which changes a comparison can see on this machine, and in how many minutes.

    The working tree is compared with itself. The options of tailgate compare may follow.
    """
    from tailgate.harness.cli.calibrate import calibrate

    calibrate(context.args, minutes, from_ or (), into, as_json=as_json)


@app.command("drill", cls=WordsCommand, epilog=DRILL)
@takes_gate_options("against", "head")
def _drill(
    context: typer.Context,
    *,
    share: Annotated[float, typer.Option("--share", help="Share of commits that get a drill.")] = 0.1,
    case: Annotated[
        str | None, typer.Option("--case", help="A drill of this case, whatever the commit says.")
    ] = None,
    ledger: Annotated[
        Path, typer.Option("--ledger", help="File with one line per drill, to be kept from run to run.")
    ] = Path(".perf/drills.jsonl"),
    **__: object,
) -> None:
    """Run a comparison whose right verdict is known: base against base, or against base with a planted change.

    The commit's hash decides whether there is a drill, and which.

    Exit status: 0 no promise of the gate is broken, 1 the drills so far contradict one, 2 it cannot be run as asked, 130
    interrupted.
    """
    from tailgate.harness.cli.drill import drill

    raise typer.Exit(drill(context.args, share, case, ledger))


@app.command("serve", cls=ServiceCommand, epilog=SERVE)
def _serve(context: typer.Context) -> None:
    """Run the inference service.

    Its own options follow below.
    """
    from tailgate.harness.cli.service import become

    become("tailgate.service", context.args)


@app.command("compile", cls=ServiceCommand, epilog=COMPILE)
def _compile(context: typer.Context) -> None:
    """Compile the service's model ahead of time.

    The options are those that the service will be run with.
    """
    from tailgate.harness.cli.service import become

    become("tailgate.service.compile", context.args)
