"""`qguardarr health`: ask the running daemon over its own HTTP API whether caps are held. Needs no key.

Container engines run it every few seconds, so it loads next to nothing: of the file only `global.host` and
`global.port` are wanted, and only where their value takes more than YAML to find is the whole configuration loaded.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path
from typing import Final, TextIO

from qguardarr.smallfile import read_small

DEFAULT_ADDRESS: Final = ("127.0.0.1", 8089)
"""Those of the configuration's schema."""
TIMEOUT_S: Final = 5.0

_SECTION: Final = "QGUARDARR__GLOBAL__"
_MOST_BYTES: Final = 1024 * 1024
_ANSWER_BYTES: Final = 64 * 1024
_MOST_PORT: Final = 65535
_PORT_DIGITS: Final = 5
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # to be reached, not bound
_ANSWER: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) .*?\r\n\r\n.*?\"status\": ?\"(\w+)\"", re.DOTALL)


def health(config: Path) -> int:
    """Print the health of the daemon with this configuration. Return 0 if caps are held, or deliberately not."""
    host, port = _address(config)
    try:
        code, word = _ask(_EVERYWHERE.get(host, host), port)
    except TimeoutError:
        _say(sys.stderr, f"qguardarr: {host}:{port} gives no answer in time: the daemon hangs, or is very busy")
        return 1
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is another program's answer"
        _say(sys.stderr, f"qguardarr: no daemon answers at {host}:{port}: {reason}. `qguardarr serve` starts it")
        return 1
    _say(sys.stdout, word)
    return 0 if code == 200 else 1


def _ask(host: str, port: int) -> tuple[int, str]:
    """Return status code and word of `/health/ready`. Raises OSError, ValueError."""
    shown = f"[{host}]" if ":" in host else host
    request = f"GET /health/ready HTTP/1.1\r\nHost: {shown}:{port}\r\nConnection: close\r\n\r\n"
    received = b""
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.sendall(request.encode("ascii"))
        while len(received) < _ANSWER_BYTES and (piece := connection.recv(_ANSWER_BYTES)):
            received += piece
    found = _ANSWER.match(received)
    if found is None:
        raise ValueError(received)
    return int(found[1]), found[2].decode()


def _address(config: Path) -> tuple[str, int]:
    """Return the address of the daemon; the default if the file is faulty, since no daemon takes up such a file."""
    names = {key: _SECTION + key.upper() for key in ("host", "port")}
    given = {key: os.environ.get(name, "") for key, name in names.items()}
    if not all(given.values()):
        section = _section(config)
        given = {key: value or str(section.get(key, "")) for key, value in given.items()}
    if any("$" in value for value in given.values()) or any(f"{name}_FILE" in os.environ for name in names.values()):
        return _loaded_address(config)
    port = given["port"]
    usable = port.isascii() and port.isdecimal() and len(port) <= _PORT_DIGITS and int(port) <= _MOST_PORT
    return given["host"] or DEFAULT_ADDRESS[0], int(port) if usable else DEFAULT_ADDRESS[1]


def _section(config: Path) -> dict[str, object]:
    """Return the section `global` of the file; empty if it cannot be read."""
    import yaml  # noqa: PLC0415

    try:
        content = yaml.load(read_small(config, _MOST_BYTES), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        section = content["global"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
        return {}
    return section if isinstance(section, dict) else {}


def _loaded_address(config: Path) -> tuple[str, int]:
    """Return the address with variables and files filled in, which takes the whole schema (a third of a second)."""
    from qguardarr.config.load import read  # noqa: PLC0415
    from qguardarr.errors import ConfigError  # noqa: PLC0415

    try:
        found = read(config, sections=("global",)).config.global_
    except ConfigError:
        return DEFAULT_ADDRESS
    return found.host, found.port


def _say(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
