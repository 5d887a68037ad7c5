"""What requests carry, where it comes from, and what a right answer to it is."""
