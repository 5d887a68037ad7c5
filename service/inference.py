"""Compute a batch so that each item gets its own result or its own error.

A batch that fails is split in half until the item that makes the model fail stands alone, and only that one gets the
error: at most 2·log2(n) further runs for one bad item. Nothing here knows about requests, threads or time.
"""

from collections.abc import Sequence

import structlog

from service.errors import ModelFailure
from service.executor import Executor
from service.items import Item, Result


class Inference:
    """An executor with the isolation of items that make it fail."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._log = structlog.get_logger("tailgate.inference")

    def run(self, items: Sequence[Item]) -> list[Result | ModelFailure]:
        """Return a result or an error for each item, in their order."""
        try:
            output = self._executor.run(items)
            rows = zip(
                items,
                output.outputs.numpy(),
                output.probabilities.tolist(),
                output.classes.tolist(),
                strict=True,
            )
            return [Result(*row) for _, *row in rows]
        except Exception as error:  # noqa: BLE001 - a model may raise anything, and must not take its batch along
            if len(items) > 1:
                half = len(items) // 2
                return self.run(items[:half]) + self.run(items[half:])
            self._log.error("the model failed on an item", error=repr(error))
            return [ModelFailure("the model failed on this input")]
