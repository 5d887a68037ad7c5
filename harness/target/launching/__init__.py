"""How a command line becomes a server: a socket, a guardian, readiness, and an end that leaves nothing behind."""
