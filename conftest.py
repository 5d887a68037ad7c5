"""Marks this folder as the root of the tests.

What the gate measures here, ``service``, and its budgets, ``budgets.toml``, are selected beside pytest's other settings
in ``pyproject.toml``, under ``perf_target`` and ``perf_budgets``; ``pytest -m perf`` runs it.
"""
