"""The generator's own process: it sends each request at its intended time, and gives each up when its time is over."""
