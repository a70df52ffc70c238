#!/opt/qguardarr/bin/python3 -IS
"""`qguardarr` inside the image: choose the user to run as, look at `/config`, and become the real command.

Started as root, it gives `/config` to PUID and PGID (1000 each by default) and goes on as that user. A command that
somebody runs as root in a running container (`docker exec`) goes on as that user, too. Started as anybody else, it
stays who it is.

Whatever cannot work is one line on stderr with its remedy, and ends with the exit code 2, as a faulty configuration.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final, NoReturn

PROGRAM: Final = "/opt/qguardarr/bin/qguardarr"
FOLDER: Final = Path("/config")
ZONES: Final = Path("/usr/share/zoneinfo")
FAULTY: Final = 2
DEFAULT_ID: Final = 1000
MOST_ID: Final = 2**32 - 2
"""The kernel takes the number above it for "no user"."""
LONGEST: Final = 40
"""Characters of a number; Python refuses to read thousands of digits."""


def main(arguments: list[str]) -> NoReturn:
    """Become `qguardarr ARGUMENTS` as the right user."""
    serves = arguments[:1] == ["serve"]
    _set_umask()
    if os.geteuid() == 0:
        _become(_id("PUID"), _id("PGID"), give_folder=serves)
    elif serves:
        _warn_of_unused_ids()
    if serves:
        _warn_of_unknown_zone()
        _check_folder()
    os.execv(PROGRAM, [PROGRAM, *arguments])  # noqa: S606 # this process becomes the command


# -- the user ---------------------------------------------------------------------------------------------------------


def _become(user: int, group: int, *, give_folder: bool) -> None:
    if (user, group) == (0, 0):  # of use where root is somebody else outside: rootless docker and podman
        return
    if give_folder:
        _give(FOLDER, user, group)
    try:
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    except OSError:
        _fail(
            f"cannot become user {user}:{group} (PUID, PGID): the container may not change users. Add "
            f'cap_add: [CHOWN, SETGID, SETUID], or start it with user: "{user}:{group}" instead'
        )


def _give(path: Path, user: int, group: int) -> None:
    """Make a file, or a folder with all in it, this user's, as far as possible; `_check_folder` finds the rest.

    CAP_CHOWN is enough: root takes over a stranger's folder before it looks inside, since it might need another
    capability otherwise. A folder that cannot be looked into and has the right owner already is left alone.
    """
    with contextlib.suppress(OSError, RecursionError):
        found = path.lstat()
        right = (found.st_uid, found.st_gid) == (user, group)
        if stat.S_ISDIR(found.st_mode):
            if not right:
                os.chown(path, 0, 0, follow_symlinks=False)
            with contextlib.suppress(PermissionError):
                for entry in list(path.iterdir()):
                    _give(entry, user, group)
        if not right:
            os.chown(path, user, group, follow_symlinks=False)


def _id(name: str) -> int:
    text = os.environ.get(name, "").strip() or str(DEFAULT_ID)
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST and int(text) <= MOST_ID):
        shown = f"{name}={text[:LONGEST]!r}"
        _fail(f"{shown} is no number of a user or group: give what `id` shows on the host, for example 1000")
    return int(text)


def _warn_of_unused_ids() -> None:
    own = {"PUID": os.geteuid(), "PGID": os.getegid()}
    unused = [f"{name}={os.environ[name]}" for name in own if os.environ.get(name, "") not in ("", str(own[name]))]
    if unused:
        _say(
            f"warning: {' and '.join(unused)} cannot be heeded, since the container starts as user "
            f'{own["PUID"]}:{own["PGID"]}. Start it with user: "0:0", and it goes on as PUID and PGID say'
        )


def _set_umask() -> None:
    if text := os.environ.get("UMASK", "").strip():
        try:
            os.umask(_octal(text))
        except ValueError:
            _fail(f"UMASK={text[:LONGEST]!r} is no umask: give an octal number from 000 to 077, for example 022")


def _octal(text: str) -> int:
    number = int(text, 8)
    if not 0 <= number <= 0o077:  # Qguardarr itself has to read what it writes
        raise ValueError(text)
    return number


def _warn_of_unknown_zone() -> None:
    """A text with digits is a rule such as `CET-1CEST`, for which there is no file."""
    zone = os.environ.get("TZ", "").removeprefix(":")
    if not zone or any(sign.isdigit() for sign in zone) or not ZONES.is_dir():
        return
    with contextlib.suppress(OSError):  # a name that is too long for a file
        if (ZONES / zone).is_file():
            return
    _say(f"warning: TZ={zone[:LONGEST]} is no known time zone, so times are in UTC: write it like Europe/Berlin")


# -- the folder -------------------------------------------------------------------------------------------------------


def _check_folder() -> None:
    """End, with the remedy, if this user cannot work with the folder."""
    who = f"{os.geteuid()}:{os.getegid()}"
    if not FOLDER.is_dir():
        _fail(f"{FOLDER} is no folder: mount one there, for example -v ./config:{FOLDER}")
    try:
        _write_trial()
    except OSError as error:
        if error.errno == errno.EROFS:
            _fail(f"{FOLDER} is mounted read-only, and the journal has to be kept there: remove :ro from the volume")
        if error.errno in (errno.EACCES, errno.EPERM):
            _fail(f"{FOLDER} cannot be written by user {who}: it belongs to {_owner(FOLDER)}. {_remedy(FOLDER, who)}")
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):  # the program knows how to live with a full disk
            _fail(f"{FOLDER} cannot be written: {error.strerror}. Check the volume that is mounted there")
    config = Path(os.environ.get("QGUARDARR_CONFIG", FOLDER / "qguardarr.yaml"))
    wrong = [config] if _closed(config, os.R_OK) else []
    for folder in (FOLDER / "data", FOLDER / "logs"):
        wrong += [folder] if _closed(folder, os.R_OK | os.W_OK | os.X_OK) else []
        wrong += [path for path in _files(folder) if _closed(path, os.R_OK | os.W_OK)]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        _fail(
            f"{wrong[0]}{more} cannot be used by user {who}: it belongs to {_owner(wrong[0])}. {_remedy(FOLDER, who)}"
        )


def _closed(path: Path, access: int) -> bool:
    """Whether something is there that may not be used so; also if it cannot even be looked at."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, access)


def _write_trial() -> None:
    trial = FOLDER / f".trial-{os.urandom(4).hex()}"  # one that a killed start left behind must not be in the way
    os.close(os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    trial.unlink()


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _owner(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "a user who lets nobody look"
    return f"{found.st_uid}:{found.st_gid}"


def _remedy(folder: Path, who: str) -> str:
    owner = _owner(folder)
    instead = "" if owner in (who, "0:0") else f', or start the container with user: "{owner}"'
    return f"On the host: chown -R {who} the folder that is mounted at {folder}{instead}"


# -- words ------------------------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    sys.stderr.write(f"qguardarr: {text}\n")


def _fail(text: str) -> NoReturn:
    _say(text)
    sys.exit(FAULTY)


if __name__ == "__main__":
    main(sys.argv[1:])
