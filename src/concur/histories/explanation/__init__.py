"""Why a history is not linearizable: `explain` finds the few operations that show it."""

from concur.histories.explanation.explanation import Explanation, Shown, explain

__all__ = ["Explanation", "Shown", "explain"]
