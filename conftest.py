"""Switches on golden transcripts (`concur.testing.plugin`) for all tests."""

pytest_plugins = ["concur.testing.plugin"]
