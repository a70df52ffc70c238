"""A network of its own for one run: an own loopback with addresses outside of 127.0.0.0/8, and an own set of processes.

Real clients need it: Transmission takes no peers from 127.0.0.0/8, and qBittorrent one connection from each address.
Inside, all of 10.77.0.0/16 is on the loopback, and nothing else can be reached. When the first process inside ends, the
kernel ends all others.

With Linux's usual socket buffers on a loopback, up to megabytes that a slow client has not read yet count as uploaded,
come in a rush when it wants more, and make a steady trickle look like bursts. `--small-buffers` makes them as small as
they are towards peers with little bandwidth; the usual ones are the harder case.

    python -m lab.namespace bench.hold real_four          # runs a module inside

Needs root, or a kernel that lets others make user namespaces.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SUBNET: Final = "10.77"
SEED_HOST: Final = f"{SUBNET}.0.1"
ORIGIN_HOST: Final = f"{SUBNET}.0.2"
"""Address of the source of torrents that the seed still downloads."""
TRACKER_SUBNET: Final = f"{SUBNET}.1"
PEER_SUBNET: Final = f"{SUBNET}.2"
"""Addresses of the lab's own peers."""

_MARK: Final = "QGUARDARR_LAB_NAMESPACE"
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
_IFF_UP: Final = 1
_SMALL_BUFFERS: Final = "--small-buffers"
_BUFFERS: Final = "4096 65536 131072"
"""Bytes of a TCP socket's buffer in each direction: least, first, most."""
_REPO: Final = Path(__file__).resolve().parent.parent


def inside() -> bool:
    """Whether this process is in a namespace that the lab made."""
    return _MARK in os.environ


def client_host(number: int) -> str:
    """Address of the client of that number, from 0."""
    return f"{SUBNET}.0.{11 + number}"


def command(module: str, arguments: Sequence[str], *, small_buffers: bool = False) -> list[str]:
    """Return the command that runs `python -m module arguments` in a new namespace, from the repository's folder.

    SIGTERM to the command ends all that runs inside.
    """
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *rights, "--net", "--pid", "--fork", "--kill-child=SIGTERM", "--mount-proc"]
    options = [_SMALL_BUFFERS] if small_buffers else []
    return [*unshare, sys.executable, "-m", "lab.namespace", *options, module, *arguments]


def enter(module: str, arguments: Sequence[str], *, small_buffers: bool = False) -> None:
    """Go on as `python -m module arguments` inside a new namespace; does not return."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_REPO), os.environ.get("PYTHONPATH"))))
    words = command(module, arguments, small_buffers=small_buffers)
    os.execvp(words[0], words)


def _set_up_network(*, small_buffers: bool) -> None:
    """Bring the loopback up, with 127.0.0.1 and the lab's subnet."""
    if small_buffers:
        for name in ("tcp_rmem", "tcp_wmem"):
            Path("/proc/sys/net/ipv4", name).write_text(_BUFFERS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def tell(request: int, name: str, value: bytes) -> None:
            fcntl.ioctl(control, request, struct.pack("16s24s", name.encode(), value))

        def address(text: str) -> bytes:
            return struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(text))

        tell(_SIOCSIFFLAGS, "lo", struct.pack("=h", _IFF_UP))
        tell(_SIOCSIFADDR, "lo:1", address(SEED_HOST))
        tell(_SIOCSIFNETMASK, "lo:1", address("255.255.0.0"))


def _end(number: int, _frame: object) -> None:
    """The first process of a namespace ignores signals that it does not handle."""
    sys.exit(128 + number)


def main() -> None:
    """Inside already, by `command`: set up the network and run the module."""
    small_buffers = sys.argv[1] == _SMALL_BUFFERS
    module, *arguments = sys.argv[2:] if small_buffers else sys.argv[1:]
    if os.getpid() != 1:
        enter(module, arguments, small_buffers=small_buffers)
    _set_up_network(small_buffers=small_buffers)
    os.environ[_MARK] = "1"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
