"""Real drills of healthy and of sabotaged gates, on a small service that needs no model."""
