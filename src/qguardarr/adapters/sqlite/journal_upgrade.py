"""The copy of the journal that is kept before its format changes, so that an upgrade can be undone."""

from __future__ import annotations

import glob
import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import structlog

from qguardarr.adapters.sqlite.connections import connect, copy_whole
from qguardarr.adapters.sqlite.database import is_damage
from qguardarr.adapters.sqlite.side_files import beside, open_private, sync_folder
from qguardarr.errors import JournalError

log = structlog.get_logger("qguardarr.journal")


def keep_earlier(path: Path, version: int) -> None:
    """Copy the journal at `path` to `<path>.v<version>`, in place of all such copies that were made before.

    Nobody writes to it meanwhile. `version`: of its format. Raises `JournalError` if there is no room: then nothing was
    changed, and the earlier copies are still there.
    """
    kept = beside(path, f".v{version}")
    new = beside(kept, ".new")
    try:
        new.unlink(missing_ok=True)
        os.close(open_private(new, path, os.O_RDWR | os.O_EXCL))
        with closing(connect(path, "?mode=ro")) as db:
            copy_whole(db, new)
        new.replace(kept)
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        for left in (new, beside(new, "-journal")):
            with suppress(OSError):
                left.unlink(missing_ok=True)
        if is_damage(error):
            raise
        raise JournalError(
            f"it has an earlier format ({version}), and no copy could be made of it before it is brought to the "
            f"present one ({error}), so nothing was changed",
            place=f"journal {path}",
            hint=f"free {path.stat().st_size / 1e6:.1f} MB beside it",
        ) from error
    for other in path.parent.glob(f"{glob.escape(path.name)}.v*"):
        if other != kept and re.fullmatch(r"\.v\d+", other.name.removeprefix(path.name)):
            with suppress(OSError):
                other.unlink()
    log.info(
        "journal_copy_kept", file=str(kept), format=version, advice="it may be deleted when the upgrade has worked"
    )
