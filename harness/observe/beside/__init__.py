"""What is watched beside the load: the machine, the server's processes, and how it answers an operator."""
