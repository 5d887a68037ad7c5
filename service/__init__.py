"""tailgate's inference service: one process, one model, dynamic batching behind HTTP.

The folder reads in the order in which a request flows::

    server → hot_path, or app → endpoint      bytes on a socket to one request
           → call → protocol, images          its body to one model input
           → lifecycle → batching, batcher    the queue, and who goes now
           → inference → executor → graph     one batch on the device
           → call                             each result to its answer, and back the same way

`settings` says what can be set, `models` what is served, `metrics` what is seen. At the start `engine` builds what computes.
`reference` runs the model as it came and refuses one whose answers depend on the batch. `selection` has each executor on
`trial`, against those answers and the clock (`batch_times`). `compiled` brings in what ``tailgate compile`` has left in the
folder of `libraries`.
"""

if __name__ != "tailgate.service":
    raise ImportError(
        f"{__file__} is tailgate.service, and was imported as {__name__}: import tailgate.service"
    )
