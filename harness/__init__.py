"""tailgate's performance gate: load a service over HTTP, measure it, and give a verdict.

The folder reads in the order in which a run flows::

    scenario → plan → slots over a target → load → scrape → samples → measures → verdict → report

Measuring, judging and reporting are separate steps over saved samples, so that a run can be judged
or reported again without being measured again.
"""

if __name__ != "tailgate.harness":
    raise ImportError(
        f"{__file__} is tailgate.harness, and was imported as {__name__}: import tailgate.harness"
    )
