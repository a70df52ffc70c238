"""`backup`, `restore`, `begin-anew`: copy the journal, put a copy back, or begin without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qguardarr.cli.opening import (
    config_at,
    journal_of,
    journal_path,
    no_journal,
    quiet_logs,
    refuse_beside_earlier_daemon,
)
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Yes
from qguardarr.cli.terminal import confirm, out, print_json
from qguardarr.cli.text import counted

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(file: File, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Write a copy of the journal to FILE.

    Works beside a running daemon. An existing FILE is not replaced.
    """
    from qguardarr.adapters.sqlite.backup import back_up

    loaded = config_at(config, "rollback")
    with journal_of(loaded, check=True) as journal:
        if journal is None:
            raise no_journal(loaded)
        originals = journal.originals()
    back_up(journal_path(loaded), file)
    if as_json:
        print_json({"file": str(file), "originals": originals})
    else:
        out(f"{file}: the journal, with {counted(originals, 'original limit')} that a rollback would restore")


def restore(file: File, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Put a backup in the place of the journal.

    Not beside a running daemon. The replaced files are kept under another name. The backup does not know later writes:
    every limit of its torrents but the original then counts as Qguardarr's.
    """
    quiet_logs()
    from qguardarr.adapters.sqlite.backup import put_back
    from qguardarr.adapters.statusfile import only_daemon

    loaded = config_at(config, "rollback")
    path = loaded.rollback.database_path
    with only_daemon(path):
        aside, earlier = put_back(file, path)
    with journal_of(loaded) as journal:
        assert journal is not None
        originals = journal.originals()
    if as_json:
        print_json({"file": str(path), "originals": originals, "put_aside": None if aside is None else str(aside)})
        return
    out(f"{path}: restored, with {counted(originals, 'original limit')}; `qguardarr rollback` gives them back")
    if earlier is not None:
        out(f"The backup has an earlier format ({earlier}), and was not changed; the journal has the present one.")
    if aside is not None:
        out(f"What was there is now {aside}")


def begin_anew(config: ConfigPath = DEFAULT_CONFIG, yes: Yes = False, as_json: AsJson = False) -> None:
    """Without a journal: take the limits in force as your own.

    Refused while the journal knows originals, since `rollback` restores them.
    """
    quiet_logs()
    from qguardarr.adapters.sqlite.backup import begin_anew as begin
    from qguardarr.adapters.sqlite.backup import refuse_beside_originals

    loaded = config_at(config, "rollback")
    path = journal_path(loaded)
    refuse_beside_earlier_daemon(path)
    refuse_beside_originals(path)
    if not yes:
        confirm(f"Take all limits that are in force now for your own, and begin a new journal at {path}?")
    aside = begin(path)
    if as_json:
        print_json({"file": str(path), "put_aside": None if aside is None else str(aside)})
        return
    out(f"{path}: started again; the limits in force count as yours. Set those that are not, by hand, in qBittorrent.")
    if aside is not None:
        out(f"What was there is now {aside}")
