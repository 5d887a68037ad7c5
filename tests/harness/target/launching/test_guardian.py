"""What of the guardian does not show through :mod:`tailgate.harness.target.launching.process`, whose tests kill the rest."""

import subprocess
import sys

import pytest

from tailgate.harness.target.launching import guardian


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--lifeline", "3", "--grace", "1", "--"],
        ["--grace", "1", "--lifeline", "3", "--", "true"],
        ["--lifeline", "3", "--grace", "1", "true"],
    ],
)
def test_a_guardian_that_is_called_otherwise_says_how(arguments, capsys):
    assert guardian.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: guardian.py --lifeline FD --grace SECONDS -- COMMAND")


def test_it_needs_nothing_but_the_standard_library():
    done = subprocess.run(
        [sys.executable, "-I", "-S", guardian.__file__], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"{guardian.USAGE}\n")
