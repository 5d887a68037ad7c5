"""tailgate's inference service: one process, one model, dynamic batching behind HTTP.

The folder reads in the order in which a request flows::

    endpoint → protocol → images → batching → batcher → inference → executor → protocol → endpoint

`settings` says what can be set, `models` what is served, `lifecycle` when it is ready, `metrics` what is seen.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
