"""Measurements of tailgate: each prints a table, most write JSON. Nothing here is a test.

::

    serving/   tailgate beside other servers, and under overload
    peers/     one small program for each of the other servers
    limits/    the service beside the bare model, the GPU and the simulated policy
    load/      the harness's load generator beside known truth, wrk, aiohttp and httpx
    faults/    bad input, clients that leave, stalls of the event loop
    gate/      the error rates of the gate: ledger, replay, simulation
    results/   what came out

All traffic stays on 127.0.0.1. Server and client have one processor each.
"""
