"""One catalogue of faults, for the simulator, the model checker and real clusters."""
