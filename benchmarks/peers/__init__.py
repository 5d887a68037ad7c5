"""One small program for each peer, run with the peer's own interpreter from the top of the checkout.

Each serves :mod:`benchmarks.peers.predictor` with dynamic batching up to 32, as the peer's documentation advises for
throughput. :mod:`benchmarks.serving.roster` says how they are installed, started and asked.
"""
