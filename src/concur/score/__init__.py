"""Scores: metrics by name (`concur.score.metrics`), protocols side by side (`.compare`)."""
