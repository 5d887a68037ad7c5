"""What a machine can see, and in how long: from rows of unchanged code."""
