"""``tailgate judge``: a comparison judged again from its blocks as they were kept. Nothing is measured."""

from typing import Annotated

import typer

from harness import results_file
from harness.cli.report import Format, FormatOption, Results, show
from harness.comparison.rejudge import rejudged

LensSettings = Annotated[
    list[str] | None,
    typer.Option("--lens", help="p95=8%, p95.margin=1%, memory=gate or p99=report; may be repeated."),
]


def judge(results: Results, lens: LensSettings = None, format_: FormatOption = Format.TERMINAL) -> None:
    """Judge a comparison again, with the same design, and with other tolerances where they are given."""
    path = results / results_file.RESULTS if results.is_dir() else results
    result = rejudged(results_file.read(path), path.parent, tuple(lens or ()))
    show(result, format_)
