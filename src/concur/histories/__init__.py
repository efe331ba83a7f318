"""Histories of what clients saw, and the checkers that judge them."""

from concur.histories.asserting import assert_consistent
from concur.histories.check import check
from concur.histories.explanation import Explanation, explain
from concur.histories.formats import (
    JsonlWriter,
    read_edn,
    read_history,
    read_jsonl,
    write_edn,
    write_history,
    write_jsonl,
)
from concur.histories.history import CompletionType, Event, EventType, History, Operation
from concur.histories.models import MODELS, Nondeterministic, model
from concur.histories.record import Recorder
from concur.histories.specification import Specification
from concur.histories.verdict import Valid, Verdict

__all__ = [
    "MODELS",
    "CompletionType",
    "Event",
    "EventType",
    "Explanation",
    "History",
    "JsonlWriter",
    "Nondeterministic",
    "Operation",
    "Recorder",
    "Specification",
    "Valid",
    "Verdict",
    "assert_consistent",
    "check",
    "explain",
    "model",
    "read_edn",
    "read_history",
    "read_jsonl",
    "write_edn",
    "write_history",
    "write_jsonl",
]
