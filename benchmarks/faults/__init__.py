"""The service under faults, seen from outside: docs/explanation/faults.md."""
