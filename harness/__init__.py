"""tailgate's performance gate: load a service over HTTP, measure it, and give a verdict.

The folders read in the order of a run: options, scenario, target, load, observe, measures, verdict, compare, report,
plugins, session, first, and the front doors cli and gate. A module imports only from folders before its own; inner
folders, as those of load and target, have an order of their own (pyproject.toml). ``results`` is plain data below all of
these, ``testing`` the kit for authors of plugins. Measuring, judging and reporting are separate
steps over saved samples: a run can be judged or reported again without being measured again.
"""

if __name__ != "tailgate.harness":
    raise ImportError(
        f"{__file__} is tailgate.harness, and was imported as {__name__}: import tailgate.harness"
    )
