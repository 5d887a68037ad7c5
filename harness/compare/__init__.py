"""Base against head: is this change slower, on a machine that is noisy, with error rates that are known?

The folder reads in the order in which a comparison flows::

    asked, lens, load               what the user asked: the sides, what is tolerated, under which load
    arms, rehearsal, processors     both sides, ready to be started, and where they run
    blocks                          fresh base and fresh head under the same load by turns; one block is one row of numbers
    decision                        when to look, exact tests, PASS / FAIL / INCONCLUSIVE / INVALID by lens, which stage moved
    answer                          what the results keep of it
    comparison                      the table of contents: calls all of these in order
    rejudge                         the same from kept rows
    calibration                     what this machine can see, and in how long

Measuring and judging are separate: rows are kept as JSON lines, and a later command judges them again.
"""
