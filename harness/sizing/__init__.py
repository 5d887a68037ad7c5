"""How many requests a replica keeps, and how many replicas a load needs: foreseen by simulation, before anything is bought."""
