"""Switches on golden transcripts for all tests, and pytest's own tools for testing a plugin."""

pytest_plugins = ["concur.testing.plugin", "pytester"]
