"""Several processes that serve together: one replaces another, and a fleet is rolled out behind a gateway."""
