"""A project's first contact: find what its service is started and asked with, and write what the gate reads."""
