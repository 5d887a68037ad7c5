"""How a target is asked, outside of the load: by which client and trust, for its metrics and for what it offers."""
