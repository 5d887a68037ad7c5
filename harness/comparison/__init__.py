"""Base against head: is this change slower, on a machine that is noisy, with error rates that are known?

The folder reads in the order in which a comparison flows::

    blocks (fresh base and fresh head under the same load, slots alternated)
        → observation (one block, one row: each lens as one number an arm)
        → lens (what is compared, what is tolerated)
        → design (when to look, how much error each look may spend)
        → decision (PASS / FAIL / INCONCLUSIVE / INVALID by lens, from exact tests)
        → attribution (which stage moved)

Measuring and judging are separate: rows are kept as JSON lines, and a later command judges them again.
"""
