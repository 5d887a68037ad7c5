"""tailgate beside other servers: the same model, the same requests, one processor each."""
