"""The error rates of the gate, from four sources: see docs/error-rates.md."""
