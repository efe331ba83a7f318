"""Random walks: with coverage, and by priorities with a guarantee."""
