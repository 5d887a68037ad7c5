"""What is tried at start: which executor is right, which is fastest, and how long its batches take."""
