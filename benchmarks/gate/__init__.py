"""The error rates of the gate, from four sources: see docs/explanation/error-rates.md."""
