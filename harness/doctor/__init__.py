"""What is known of a machine before anything is measured on it, and what that means for a run."""
