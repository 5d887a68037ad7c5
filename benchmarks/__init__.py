"""Measurements of tailgate beside its limits and its peers; each prints a table and writes JSON. Nothing here is a test.

::

    workload (model, one request's body) → roster (how each server is installed and started)
        → fleet (start all, let one run at a time) → client (wrk, or a closed loop of our own)
        → rounds (interleaved, ratios side by side) → targets (target, measured, met) → results/*.json

Everything is measured over HTTP, on this machine's loopback interface, server and client on a processor each.
"""
