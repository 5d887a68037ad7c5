"""Several replicas of one server behind a gateway: how they are started, replaced and killed, and what is known of it afterwards."""
