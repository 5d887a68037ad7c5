"""Who waits, who goes, and who is refused: from a whole request to a batch, and back to its answer."""
