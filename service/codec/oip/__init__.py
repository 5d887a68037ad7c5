"""The Open Inference Protocol over REST, with Triton's extensions: bytes to tensors and back, pure.

``datatypes`` are elements as bytes and as JSON, ``call`` is a request's JSON and ``items`` its tensors, ``reply`` writes its answer,
``codings`` are gzip and deflate, ``paths`` are the protocol's addresses, and ``pages`` are what a server says of itself.
``first_version`` is the older protocol of KServe.

The specification: "Open Inference Protocol", HTTP/REST, version 2. The extensions: Triton Inference Server,
``docs/protocol``. Where the two are silent, Triton's own answers are the rule, since its clients are what people have.
"""
