"""Run commands in forks of one process that has loaded most modules: a process for each would load them each time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_LOADED = """
import importlib, json, os, pkgutil, sys
import qguardarr
from qguardarr import cli
from qguardarr.config.load import read

def run(arguments, output):
    # In the child: never returns.
    for stream in ("stdout", "stderr"):
        os.dup2(os.open(output + stream, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), getattr(sys, stream).fileno())
    if order["user"]:
        os.setegid(order["user"])
        os.seteuid(order["user"])
    sys.argv[1:] = arguments
    try:
        cli.main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)

order = json.load(sys.stdin)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if order["user"]:  # who may not be allowed to read modules
    for module in pkgutil.walk_packages(qguardarr.__path__, "qguardarr."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
if order["warm"]:
    read(order["warm"])
for number, arguments in enumerate(order["commands"]):
    child = os.fork()
    if child == 0:
        run(arguments, f"{order['folder']}/{number}.")
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run_forked(
    commands: Sequence[Sequence[str]],
    folder: Path,
    *,
    prefix: Sequence[str] = (),
    user: int | None = None,
    warm: Path | None = None,
    cwd: Path | None = None,
) -> list[subprocess.CompletedProcess[str]]:
    """Run `qguardarr` with each of these arguments, one after the other, without a terminal; `folder` takes output.

    `prefix`: command that starts the process, such as `setpriv`. `user`: who the commands run as; modules are loaded
    before, since they may stand where only root can read. `warm`: configuration to read before, for the same reason.
    """
    folder.mkdir(mode=0o700)
    order = {"commands": commands, "folder": str(folder), "user": user, "warm": warm and str(warm)}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _LOADED],
        input=json.dumps(order), capture_output=True, text=True, timeout=300, check=True, cwd=cwd,
    )  # fmt: skip
    codes = [int(line) for line in done.stdout.split()]
    return [
        subprocess.CompletedProcess(
            arguments, code, *((folder / f"{number}.{stream}").read_text() for stream in ("stdout", "stderr"))
        )
        for number, (arguments, code) in enumerate(zip(commands, codes, strict=True))
    ]
