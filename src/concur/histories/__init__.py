"""Histories of what clients saw, and the checkers that judge them."""

from concur.histories.check import check
from concur.histories.history import CompletionType, Event, EventType, History, Operation
from concur.histories.jsonl import JsonlWriter, read_jsonl, write_jsonl
from concur.histories.specification import Specification
from concur.histories.verdict import Valid, Verdict

__all__ = [
    "CompletionType",
    "Event",
    "EventType",
    "History",
    "JsonlWriter",
    "Operation",
    "Specification",
    "Valid",
    "Verdict",
    "check",
    "read_jsonl",
    "write_jsonl",
]
