"""The commands that start no load: what runs came to, who takes part, and whether this machine is fit."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tailgate.harness.cli import Format
from tailgate.harness.cli.help import Command, run_names, scenario_names
from tailgate.harness.cli.starting import AsJson

REPORT = """
tailgate report                                # the newest run
tailgate report --html                         # write its page again, and print where
tailgate report .perf/RUN --json | jq .run.verdict
"""
JUDGE = """
tailgate judge                                 # the newest run, to the same verdict
tailgate judge --budgets=stricter.toml
tailgate judge .perf/RUN --lens=p95=8%         # a comparison, by another tolerance
"""
HISTORY = """
tailgate history                               # runs, trends, and where a level changed
tailgate history --branch=main --scenario=steady
tailgate history --json | jq '.groups[].trends[].changes'
"""
SAMPLES = """
tailgate samples > samples.csv                 # the newest run, a line per request
tailgate samples .perf/RUN --slot=burst-head-0 --csv=burst.csv
tailgate samples --json | jq '.samples[] | select(.status == 500)'
"""
SCENARIOS = """
tailgate scenarios
tailgate scenarios --plugin=lunch.py --json
"""
PLUGINS = """
tailgate plugins
PERF_PLUGINS=scenarios tailgate plugins        # of the installed ones this alone
"""
DOCTOR = """
tailgate doctor
tailgate doctor --torch                        # import PyTorch as well, which takes seconds
tailgate doctor --json | jq '.checks[] | select(.state != "ok")'
"""

PLAN = """
tailgate plan --objective=50ms --rate=400/s     # from the newest run: how many replicas?
tailgate plan http://localhost:8000             # from the batch times of a running service
tailgate plan --batch-times=1:5ms,8:12ms --objective=50ms --burstiness=4
tailgate plan .perf/RUN --trace=arrivals.csv --json | jq .plan.replicas
"""

Run = Annotated[
    Path | None,
    typer.Argument(
        metavar="[RUN]",
        help="A run's folder or name, its results.json, or a folder of results for its newest run; default: the newest run "
        "in the nearest .perf.",
        show_default=False,
        autocompletion=run_names,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="The form of the report.")]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with hooks of tailgate; may be repeated.")
]


def _again(name: str, help: str) -> Any:  # noqa: A002 - as typer calls it
    """Declare an option of the gate for a run that is judged again, by both of its names."""
    return typer.Option(f"--{name}", f"--perf-{name}", help=help)


BudgetFile = Annotated[str | None, _again("budgets", "A TOML file with other budgets than those of the run.")]
Confidence = Annotated[str | None, _again("confidence", "Another confidence than that of the run.")]
LensSettings = Annotated[
    list[str] | None, _again("lens", "p95=8%, p95.margin=1%, memory=gate or p99=report; may be repeated.")
]
AnswerTolerance = Annotated[
    str | None, _again("answer-tolerance", "How far numbers in answers may differ, as a share.")
]
AnswerIgnore = Annotated[
    list[str] | None,
    _again("answer-ignore", "A further place in answers that is not compared, such as $.id."),
]
Scenario = Annotated[
    str | None, typer.Option("--scenario", help="This scenario alone.", autocompletion=scenario_names)
]
Branch = Annotated[str | None, typer.Option("--branch", help="Runs of this branch alone.")]
Last = Annotated[int, typer.Option("--last", min=1, help="How many runs of each group to list.")]
Slot = Annotated[
    str | None,
    typer.Option("--slot", help="Which records, if a run has several: SCENARIO-SIDE-NUMBER."),
]
Csv = Annotated[Path | None, typer.Option(help="File to write; default: standard output.")]

app = typer.Typer(rich_markup_mode=None)


@app.command("report", cls=Command, epilog=REPORT)
def _report(
    run: Run = None,
    format_: FormatOption = Format.TERMINAL,
    *,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html into the folder, and print its path.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report a run again, from its results; nothing is judged."""
    from tailgate.harness.cli.runs.kept import picture, report

    if html:
        typer.echo(picture(run))
        return
    report(run, Format.JSON if as_json else format_)


@app.command("judge", cls=Command, epilog=JUDGE)
def _judge(  # noqa: PLR0913 - each is an option
    run: Run = None,
    budgets: BudgetFile = None,
    confidence: Confidence = None,
    lens: LensSettings = None,
    answer_tolerance: AnswerTolerance = None,
    answer_ignore: AnswerIgnore = None,
    plugin: PluginFiles = None,
    *,
    format_: FormatOption = Format.TERMINAL,
    as_json: AsJson = False,
) -> None:
    """Judge a run again from its folder.

    By the same limits, or by other budgets, another confidence, other tolerances, or without some places in answers.
    Exit status: as for run and compare, with the options of the run.
    """
    from tailgate.harness.cli.runs.kept import judge

    said = {"budgets": budgets, "confidence": confidence, "lens": lens}
    said |= {"answer_tolerance": answer_tolerance, "answer_ignore": answer_ignore}
    raise typer.Exit(judge(run, said, plugin or (), Format.JSON if as_json else format_))


@app.command("history", cls=Command, epilog=HISTORY)
def _history(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help="A folder of results; default: the nearest .perf.", show_default=False
        ),
    ] = None,
    scenario: Scenario = None,
    branch: Branch = None,
    last: Last = 10,
    *,
    as_json: AsJson = False,
) -> None:
    """List the runs so far, the trend of each criterion, and where its level changed.

    Runs are compared only if machine, profile, load and branch are the same.
    """
    from tailgate.harness.cli.runs.history import history

    history(folder, scenario, branch, last, as_json=as_json)


@app.command("samples", cls=Command, epilog=SAMPLES)
def _samples(
    run: Run = None,
    slot: Slot = None,
    csv: Csv = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write the raw records of a run as CSV or JSON, one per request."""
    from tailgate.harness.cli.runs.samples import samples

    samples(run, slot, csv, as_json=as_json)


@app.command("scenarios", cls=Command, epilog=SCENARIOS)
def _scenarios(plugin: PluginFiles = None, *, as_json: AsJson = False) -> None:
    """List the scenarios that can be run."""
    from tailgate.harness.cli.listing import scenarios

    scenarios(plugin or (), as_json=as_json)


@app.command("plugins", cls=Command, epilog=PLUGINS)
def _plugins(plugin: PluginFiles = None, *, as_json: AsJson = False) -> None:
    """List the plugins that take part in a run, with version and hooks."""
    from tailgate.harness.cli.listing import plugins

    plugins(plugin or (), as_json=as_json)


@app.command("doctor", cls=Command, epilog=DOCTOR)
def _doctor(
    *,
    torch: Annotated[
        bool, typer.Option("--torch", help="Import PyTorch and torchvision, and try an operator and CUDA.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what on this machine would make a run fail, or its figures less reliable, and how to fix it.

    Exit status: 0 even if there are remarks, 1 if something will fail.
    """
    from tailgate.harness.cli.doctor import doctor

    raise typer.Exit(doctor(torch=torch, as_json=as_json))


@app.command("plan", cls=Command, epilog=PLAN)
def _plan(  # noqa: PLR0913 - each is an option
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN | ADDRESS]",
            help="A run's folder or name, or http://host:port of a running tailgate serve; default: the newest run.",
            show_default=False,
            autocompletion=run_names,
        ),
    ] = None,
    batch_times: Annotated[
        str | None, typer.Option("--batch-times", help="t(n) by hand: 1:5ms,8:12ms, linear between.")
    ] = None,
    max_batch: Annotated[
        int | None, typer.Option("--max-batch", min=1, max=4096, help="Another largest batch.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="Latency that p99 is to keep, such as 50ms.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", help="Requests of all replicas together, such as 400/s; default: that of the trace."
        ),
    ] = None,
    burstiness: Annotated[
        float | None,
        typer.Option(
            "--burstiness", help="Squared coefficient of variation of the gaps; default: 1, which is Poisson."
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Recorded arrivals, .csv or .jsonl, brought to each rate.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Predict p50 and p99 by load, the highest rate within an objective, and how many replicas a rate needs.

    Nothing is measured: batch times, and what requests take besides, come from a kept run, a running service or --batch-times.

    Exit status: 0 done, 1 no number of replicas keeps the objective, 2 it cannot be planned as asked, 3 the source does not say
    what a plan needs.
    """
    from tailgate.harness.cli.runs.plan import plan

    raise typer.Exit(
        plan(source, batch_times, max_batch, objective, rate, burstiness, trace, as_json=as_json)
    )
