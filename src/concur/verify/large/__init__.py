"""Large spaces: several processes, fingerprints, the frontier on disk."""
