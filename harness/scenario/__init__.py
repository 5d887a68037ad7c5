"""What is asked: phases of load, when requests leave, what they carry, and the budgets that hold them.

::

    arrivals, changing_rates, trace   when requests leave
    payloads                          what they carry, and which answers are right
    scenario, behaviour, ref          phases and criteria, with numbers that may be open
    budgets, unbudgeted               the numbers, from a file or from a probe
    plan                              all of it, drawn from one seed
"""
