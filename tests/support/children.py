"""Child processes, of the test's own process or of another one."""

from __future__ import annotations

from pathlib import Path


def children() -> list[int]:
    """Return the pids of processes that this one has started and not waited for, whichever thread did."""
    return _children("self")


def children_of(pid: int, command: str) -> list[int]:
    """Return the pids of the child processes of a process that have this text in their command lines."""
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in _children(str(pid))}
    return [child for child, line in lines.items() if command.encode() in line]


def _children(process: str) -> list[int]:
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(pid) for started in lists for pid in started.read_text().split()]
