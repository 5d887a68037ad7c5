"""Which run a command means: the one that is named, or the newest."""

from pathlib import Path

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.options.settings import OPTIONS
from tailgate.harness.results import folder
from tailgate.harness.results.file import RESULTS

OUTPUT: Path = next(option.default for option in OPTIONS if option.name == "output")


def output_folder() -> Path:
    """Return the nearest folder of results, here or in a folder above; where there is none, the one that a run makes here."""
    here = Path.cwd()
    found = (place / OUTPUT for place in (here, *here.parents) if (place / OUTPUT).is_dir())
    return next(found, here / OUTPUT)


def kept_runs() -> tuple[Path, ...]:
    """Return the folders of the runs that are kept, the newest last."""
    return folder.runs(output_folder())


def find_run(asked: Path | None) -> Path:
    """Return a run's folder, or the file in it that was named.

    ``asked`` is a file, a run's folder or name, or a folder of results, whose newest run is meant; None for the nearest one.
    """
    if asked is None:
        return _newest(output_folder())
    if asked.is_dir():
        return asked if (asked / RESULTS).exists() or not folder.runs(asked) else _newest(asked)
    named = output_folder() / asked.name
    if asked.is_file() or not named.is_dir() or len(asked.parts) > 1:
        named = asked
    if not named.exists():
        raise UsageError(
            f"the run {str(asked)!r} does not exist; expected a run's folder or name, its {RESULTS}, or a folder of results"
        )
    return named


def find_results(asked: Path | None) -> Path:
    """Return where a run's results lie, likewise; raise MeasurementError for a run that ended before it had any."""
    run = find_run(asked)
    path = run if run.is_file() else run / RESULTS
    if not path.exists() and run in folder.runs(run.parent):
        raise MeasurementError(_without_results(run))
    return path


def _newest(results: Path) -> Path:
    runs = folder.runs(results)
    if not runs:
        raise UsageError(
            f"there is no run in {results}; make one with tailgate run, or name a run's folder where --output has put it elsewhere"
        )
    return runs[-1]


def _without_results(run: Path) -> str:
    others = [one for one in folder.runs(run.parent) if (one / RESULTS).exists()]
    goes_on = folder.in_use(run.parent) and run == folder.runs(run.parent)[-1]
    why = (
        "is still going on, and none of its scenarios has ended"
        if goes_on
        else "was cut short in its first scenario"
    )
    other = f"the newest run with results is {others[-1]}" if others else "no other run has results"
    return f"the run {run.name} {why}, so it has no results; {other}"
