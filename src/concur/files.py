"""Files that results are written to: checked before anything runs, so that no run is in vain."""

import os
from pathlib import Path

from concur.errors import BadInput


def check_target(what: str, path: str | Path) -> None:
    """Raise BadInput if the `what` of a run cannot be written to `path`. Leaves nothing behind.

    Results appear under their name by renaming, which would take the place of a link or a device.
    """
    target = Path(path)
    folder = target.parent
    if target.is_dir():
        raise BadInput(f"{what} {path}: is a folder, expected the name of a file")
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise BadInput(f"{what} {path}: is a link or a device, expected a file of its own")
    if not folder.is_dir():
        raise BadInput(f"{what} {path}: there is no folder {folder}, expected one that exists")
    if not os.access(folder, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise BadInput(f"{what} {path}: not writable, expected a file that can be written")
