"""The command line: `concur VERB`, one small file for each verb.

`main` is the entry point. Verbs import what they need when they run, so that `--help` is quick.
Exit status: 0 it holds, 1 a property is violated or a history inconsistent, 2 bad input, 3
undecided, 130 after Ctrl-C.
"""

try:
    from concur.cli.app import app, main
except KeyboardInterrupt:
    raise SystemExit(130) from None  # Ctrl-C that early: nothing has begun

__all__ = ["app", "main"]
