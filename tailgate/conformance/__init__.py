"""Conformance tests for servers of the Open Inference Protocol over REST, and of Triton's extensions.

``pytest --pyargs tailgate.conformance --oip-url=http://localhost:8000`` asks any server. Each test cites the clause of the
specification that it checks, and makes its tensors from the server's own metadata. Tests of an extension run only where the
server lists the extension.

A test fails where the server breaks the clause. A test is skipped where the server or its model has not what the clause is about.
"""
