"""Switches on golden transcripts for all tests, and pytest's own tools for testing a plugin."""

import pytest

pytest_plugins = ["concur.testing.plugin", "pytester"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that run clusters of processes come last, one after the other: they need the machine
    for themselves, and their group is one worker's."""
    items.sort(key=lambda item: any(mark.args == ("processes",) for mark in _groups(item)))


def _groups(item: pytest.Item) -> list[pytest.Mark]:
    return list(item.iter_markers("xdist_group"))
