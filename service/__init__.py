"""tailgate's inference service: one process, one model, dynamic batching behind HTTP.

A folder is a step of a request's way; imports go from left to right::

    http  →  batching  →  execution
      bytes on a       who waits, who goes,   one batch
      socket           who is refused         on the device
                   ↘  codec  →  models
                      bytes become values     what is served

On the ground floor stand ``settings``, ``metrics``, ``errors`` and ``logs``.
"""

if __name__ != "tailgate.service":
    raise ImportError(
        f"{__file__} is tailgate.service, and was imported as {__name__}: import tailgate.service"
    )
