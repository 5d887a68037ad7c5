"""What is measured: a program that the harness starts, or an address; how it is started, asked and ended.

::

    asking         by which client and trust; its metrics, and what it offers
    settings       what a specification leaves open
    launching      a command line becomes a server, and ends
    checkout       a revision becomes a folder, and its own code
    target, spec   what a target is, and how a user writes one
    state          the user's commands around it
"""
