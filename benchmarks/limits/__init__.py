"""The service beside its limits: the bare model, the GPU, and the batching rule in virtual time."""
