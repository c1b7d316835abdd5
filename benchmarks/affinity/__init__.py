"""What the choice of an instance costs agents: a simulation, and a run on real workers."""
