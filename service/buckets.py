"""Batch sizes of fixed shape, and how a batch of any size is put together from them at the least cost.

An executor of fixed shapes (:mod:`tailgate.service.cuda_graphs`) runs batches of 1, 2, 4, … up to its cap and nothing between. Twelve
requests run as 8 + 4, or as 16 with four rows of padding: whichever the measured times say. Nothing here runs anything.
"""

from collections.abc import Mapping


def bucket_sizes(largest: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … up to ``largest``, which is always one itself."""
    return tuple(sorted({2**power for power in range(largest.bit_length())} | {largest}))


def cheapest_covers(largest: int, cost_s: Mapping[int, float]) -> tuple[tuple[int, ...], ...]:
    """Return for each batch size from 0 to ``largest`` the buckets that run it in the least time.

    Buckets descend and all but the last are full; none is without a row. Among equal costs the fewest buckets win, then
    the least padding. It is the unbounded knapsack problem in its covering form, solved by the usual recurrence
    ``best(n) = min over buckets b of cost(b) + best(max(0, n - b))`` (Kellerer, Pferschy and Pisinger, "Knapsack
    Problems", 2004, chapter 8).

    Args:
        largest: the largest batch, which may be larger than every bucket.
        cost_s: positive seconds by bucket.
    """
    # By cost, number of buckets, rows computed; then the buckets themselves.
    best: list[tuple[float, int, int, tuple[int, ...]]] = [(0.0, 0, 0, ())]
    for count in range(1, largest + 1):
        options = []
        for bucket, seconds in cost_s.items():
            cost, buckets, rows, cover = best[max(0, count - bucket)]
            options.append((cost + seconds, buckets + 1, rows + bucket, (*cover, bucket)))
        best.append(min(options))
    return tuple(tuple(sorted(cover, reverse=True)) for *_, cover in best)
