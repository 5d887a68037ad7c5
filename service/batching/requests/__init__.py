"""One request, or the inputs of one, from its head to its answer."""
