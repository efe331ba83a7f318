"""The deterministic simulated world."""
