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


def write_whole(what: str, path: str | Path, text: str) -> None:
    """Write the `what` of a run, which appears under its name only once it is whole.

    Raises BadInput if it cannot be written, and leaves nothing behind then.
    """
    check_target(what, path)
    target = Path(path)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        scratch.write_text(text, "utf-8")
        scratch.replace(target)
    except OSError as error:
        raise BadInput(f"{what} {path}: {error.strerror}, expected a writable file") from None
    finally:
        scratch.unlink(missing_ok=True)
