"""The service under faults, seen from outside: docs/faults.md."""
