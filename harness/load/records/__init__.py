"""What the generator keeps, in files that can be read while they grow: samples, events, distinct answers."""
