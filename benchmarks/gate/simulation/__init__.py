"""Many comparisons judged by the gate's own code, on made-up machines and on recorded blocks."""
