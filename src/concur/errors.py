"""The errors that Concur raises on purpose. Whatever else escapes is a bug of ours."""


class ConcurError(Exception):
    """Base of all errors raised on purpose."""


class BadInput(ConcurError, ValueError):
    """Something that a person typed, or a file that they named, is wrong.

    The message is one line: what is wrong, where, and what was expected. The command line prints
    it without a traceback and exits with status 2.
    """
