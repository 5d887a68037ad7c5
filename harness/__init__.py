"""tailgate's performance gate: load a service over HTTP, measure it, and give a verdict.

The folders read in the order in which a run flows. A module imports from the folders before its own, never from those after it::

    options     what the user said
    scenario    what is asked: phases, arrivals, payloads, budgets, and the plan that a seed draws
    target      what is measured: a program that the harness starts, or an address
    load        the generator, a process of its own
    observe     what is seen: samples, scrapes, the machine, resources, probes, the yardstick
    measures    from samples to an estimate with its interval
    verdict     from an estimate and its limit to PASS, FAIL, INCONCLUSIVE or INVALID
    compare     base against head
    report      terminal, Markdown, JUnit
    plugins     who takes part, and what each brings
    session     one run
    cli, gate   the two front doors: the command ``tailgate``, and the plugin of pytest

``results`` is plain data, what a run came to and its file, and stands below all of these; ``testing`` is the kit for
authors of plugins. Measuring, judging and reporting are separate steps over saved samples, so that a run can be judged or
reported again without being measured again.
"""

if __name__ != "tailgate.harness":
    raise ImportError(
        f"{__file__} is tailgate.harness, and was imported as {__name__}: import tailgate.harness"
    )
