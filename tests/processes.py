"""Processes that tests start and interrupt."""

import signal


def hear_ctrl_c() -> None:
    """For `preexec_fn`: what a shell starts in the background ignores Ctrl-C, and passes it on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
