"""Base against head: is this change slower, with known error rates on a noisy machine?

In the order of the flow::

    asked, lens, load               what the user asked: the sides, what is tolerated, under which load
    arms, rehearsal, processors     both sides, ready to be started, and where they run
    blocks                          fresh base and head under the same load by turns; a block is a row of numbers
    decision, answer                exact tests at planned looks, the verdict by lens, what the results keep
    ground, comparison              calls all of these in order; ``rejudge`` does from kept rows
    calibration                     what this machine can see, and in how long
"""
